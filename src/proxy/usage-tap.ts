import { createParser } from 'eventsource-parser';
import { z } from 'zod';

import type { FailureCode } from '../job/errors.ts';
import { codeOfStreamError } from './failures.ts';
import type { Protocol } from './routes.ts';

/** Held back to read the usage of an answer that is no stream; a larger one is charged by estimate. */
const MAX_JSON_BYTES = 32 * 1024 * 1024;
/** A stream without a line end is no stream that can be read. */
const MAX_EVENT_CHARS = 16 * 1024 * 1024;

/** What an answer said about itself so far. */
export interface Tapped {
  model: string | null;
  /** The provider's usage object; of an Anthropic stream the parts laid over one another. */
  usage: Record<string, unknown> | null;
  /** The usage is the provider's last word. */
  usageFinal: boolean;
  /** Characters of output that were seen: what an interrupted stream is charged by. */
  outputChars: number;
  /** The answer said that it is complete. */
  done: boolean;
  failure: FailureCode | null;
}

/** Reads along with the bytes of an answer, never changes them, never throws. */
export interface UsageTap {
  readonly seen: Readonly<Tapped>;
  push(chunk: Uint8Array): void;
  /** After the last byte. */
  end(): void;
}

/** Of an answer that has not begun. */
export const NOTHING_TAPPED: Readonly<Tapped> = { model: null, usage: null, usageFinal: false, outputChars: 0, done: false, failure: null };

export function createTap(protocol: Protocol, isEventStream: boolean): UsageTap {
  const seen: Tapped = { ...NOTHING_TAPPED };
  return isEventStream ? tapEvents(seen, READERS[protocol]) : tapJson(seen);
}

function tapEvents(seen: Tapped, read: (seen: Tapped, event: unknown) => void): UsageTap {
  const decoder = new TextDecoder();
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARS,
    onEvent: ({ data }) => {
      if (data === '[DONE]') seen.done = true;
      else read(seen, parse(data));
    },
  });
  let broken = false;
  return {
    seen,
    push: (chunk) => {
      if (broken) return;
      try {
        parser.feed(decoder.decode(chunk, { stream: true }));
      } catch {
        broken = true;
      }
    },
    end: () => {},
  };
}

function tapJson(seen: Tapped): UsageTap {
  const chunks: Uint8Array[] = [];
  let length = 0;
  return {
    seen,
    push: (chunk) => {
      length += chunk.length;
      seen.outputChars = length;
      if (length <= MAX_JSON_BYTES) chunks.push(chunk);
    },
    end: () => {
      const answer = answerSchema.safeParse(parse(Buffer.concat(chunks).toString()));
      if (!answer.success) return;
      layUsage(seen, answer.data);
      seen.usageFinal = seen.usage !== null;
      if (answer.data.status === 'failed') seen.failure = codeOfStreamError(answer.data.error?.code);
    },
  };
}

const text = z.string().optional().catch(undefined);
const usageObject = z.record(z.string(), z.unknown()).nullish().catch(undefined);
const errorObject = z.object({ type: text, code: text }).nullish().catch(undefined);

const answerSchema = z.object({ model: text, usage: usageObject, status: text, error: errorObject });

const messagesSchema = z.object({
  type: z.string(),
  message: answerSchema.optional().catch(undefined),
  usage: usageObject,
  delta: z.object({ text, partial_json: text, thinking: text }).optional().catch(undefined),
  error: errorObject,
});

const responsesSchema = z.object({ type: z.string(), response: answerSchema.optional().catch(undefined), delta: text, code: text });

const chatSchema = z.object({
  model: text,
  usage: usageObject,
  error: errorObject,
  choices: z
    .array(z.object({ delta: z.unknown().optional() }))
    .optional()
    .catch(undefined),
});

const READERS: Record<Protocol, (seen: Tapped, event: unknown) => void> = {
  'anthropic-messages': (seen, event) => {
    const { data } = messagesSchema.safeParse(event);
    if (data === undefined) return;
    const { type, message, usage, delta, error } = data;
    if (type === 'message_start') layUsage(seen, message);
    if (type === 'content_block_delta') seen.outputChars += (delta?.text ?? delta?.partial_json ?? delta?.thinking ?? '').length;
    if (type === 'message_delta') {
      // The delta alone lacks how the cache writes split, which has its own prices.
      layUsage(seen, { usage });
      seen.usageFinal = usage !== undefined && usage !== null;
    }
    if (type === 'message_stop') seen.done = true;
    if (type === 'error') fail(seen, error?.type);
  },
  'openai-responses': (seen, event) => {
    const { data } = responsesSchema.safeParse(event);
    if (data === undefined) return;
    const { type, response, delta, code } = data;
    if (type.endsWith('.delta')) seen.outputChars += delta?.length ?? 0;
    if (type === 'response.completed' || type === 'response.incomplete' || type === 'response.failed') {
      layUsage(seen, response);
      seen.usageFinal = seen.usage !== null;
      seen.done = true;
    }
    if (type === 'response.failed') fail(seen, response?.error?.code);
    if (type === 'error') fail(seen, code);
  },
  'openai-chat': (seen, event) => {
    const { data } = chatSchema.safeParse(event);
    if (data === undefined) return;
    const { choices, error } = data;
    layUsage(seen, data);
    seen.usageFinal = seen.usage !== null;
    for (const { delta } of choices ?? []) seen.outputChars += delta === undefined ? 0 : contentLength(delta);
    if (error !== undefined && error !== null) fail(seen, error.code ?? error.type);
  },
};

const deltaSchema = z.object({
  content: text,
  reasoning_content: text,
  tool_calls: z
    .array(z.object({ function: z.object({ arguments: text }) }))
    .optional()
    .catch(undefined),
});

function contentLength(delta: unknown): number {
  const { data } = deltaSchema.safeParse(delta);
  const args = (data?.tool_calls ?? []).reduce((sum, call) => sum + (call.function.arguments?.length ?? 0), 0);
  return args + (data?.content?.length ?? 0) + (data?.reasoning_content?.length ?? 0);
}

/** Null fields say nothing: they never replace a figure. */
function layUsage(
  seen: Tapped,
  part: { model?: string | undefined; usage?: Record<string, unknown> | null | undefined } | undefined,
): void {
  if (part?.model !== undefined) seen.model = part.model;
  if (part?.usage === undefined || part.usage === null) return;
  const stated = Object.entries(part.usage).filter(([, value]) => value !== null);
  seen.usage = { ...seen.usage, ...Object.fromEntries(stated) };
}

function fail(seen: Tapped, type: string | null | undefined): void {
  seen.failure = codeOfStreamError(type);
  seen.done = true;
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
