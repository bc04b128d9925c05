import { z } from 'zod';

import { codeOfStreamError, isTransientError } from './failures.ts';
import { modelStopOf, type ModelStop } from './model-stop.ts';
import type { ResponseUsage, PricedToolCall } from './response-usage.ts';
import type { Protocol } from './routes.ts';

const text = z.string().optional().catch(undefined);
const record = z.record(z.string(), z.unknown()).nullish().catch(undefined);
const errorObject = z.object({ type: text, code: text }).nullish().catch(undefined);

/** The content of an output item; a refusal is one of its parts. */
const content = z
  .array(z.object({ type: text }).catch({}))
  .optional()
  .catch(undefined);
const chatMessage = z.object({ refusal: text }).nullish().catch(undefined);
const choices = z
  .array(z.object({ finish_reason: text, message: chatMessage, delta: chatMessage }).catch({}))
  .optional()
  .catch(undefined);

const answerSchema = z.object({
  model: text,
  usage: record,
  status: text,
  error: errorObject,
  service_tier: text,
  tool_usage: record,
  output: z
    .array(z.object({ type: text, container_id: text, content }).catch({}))
    .optional()
    .catch(undefined),
  incomplete_details: z.object({ reason: text }).nullish().catch(undefined),
  stop_reason: text,
  choices,
});
type Answer = z.output<typeof answerSchema>;

const messagesSchema = z.object({
  type: z.string(),
  message: answerSchema.optional().catch(undefined),
  delta: z.object({ stop_reason: text }).optional().catch(undefined),
  usage: record,
  error: errorObject,
});

const responsesSchema = z.object({ type: z.string(), response: answerSchema.optional().catch(undefined), code: text, error: errorObject });

const chatSchema = z.object({
  model: text,
  usage: record,
  service_tier: text,
  error: errorObject,
  choices,
});

/** The events with usage, by protocol. Where a provider does not name its events, all of them are read. */
const USAGE_EVENTS: Partial<Record<Protocol, ReadonlySet<string>>> = {
  'anthropic-messages': new Set(['message_start', 'message_delta', 'message_stop', 'error']),
  'openai-responses': new Set(['response.completed', 'response.incomplete', 'response.failed', 'error']),
};
/** The events of a stream that precede the model's own output. */
const PREAMBLE_EVENTS = new Set(['message_start', 'ping', 'response.created', 'response.queued', 'response.in_progress']);
/** Finds an event's type where the stream does not name its events: the type comes first in each long event. */
const EVENT_TYPE = /"type"\s*:\s*"([\w.]+)"/;
/** Matches only fields of the event itself: in text that a model wrote, the quotes would be escaped. */
const CHAT_USAGE_FIELDS = /"usage"\s*:\s*\{|"error"\s*:|"(?:finish_reason|refusal)"\s*:\s*"/;

/** Returns whether an event can have anything that a tap reads: parsing each text delta would cost more than everything else. */
export function isWorthParsing(protocol: Protocol, event: string | undefined, data: string): boolean {
  if (protocol === 'openai-chat') return CHAT_USAGE_FIELDS.test(data);
  return event === undefined || USAGE_EVENTS[protocol]?.has(event) !== false;
}

/** Returns whether an event precedes the model's own output: an error may still follow instead of any output. */
export function isPreamble(protocol: Protocol, event: string | undefined, data: string): boolean {
  if (protocol === 'openai-chat') return false;
  return PREAMBLE_EVENTS.has(event ?? EVENT_TYPE.exec(data.slice(0, 200))?.[1] ?? '');
}

/** Reads an answer that is not a stream into `seen`. JSON that is not an answer changes nothing. */
export function readAnswer(seen: ResponseUsage, json: unknown): void {
  const { data } = answerSchema.safeParse(json);
  if (data === undefined) return;
  merge(seen, data);
  seen.usageFinal = seen.usage !== null;
  const isError = data.error !== undefined && data.error !== null;
  if (data.status === 'failed' || isError) fail(seen, data.error?.code ?? data.error?.type);
}

/** Reads an event of a stream into `seen`, by protocol. */
export const EVENT_READERS: Record<Protocol, (seen: ResponseUsage, event: unknown) => void> = {
  'anthropic-messages': (seen, event) => {
    const { data } = messagesSchema.safeParse(event);
    if (data === undefined) return;
    const { type, message, delta, usage, error } = data;
    if (type === 'message_start' && message !== undefined) merge(seen, message);
    if (type === 'message_delta' && usage !== undefined && usage !== null) {
      // The delta alone lacks the split of the cache writes, whose parts have different prices.
      mergeUsage(seen, usage);
      // message_start states an output too, but before any was generated.
      seen.usageFinal = typeof usage.output_tokens === 'number';
    }
    if (type === 'message_delta') seen.stop ??= modelStopOf(delta?.stop_reason);
    if (type === 'message_stop') seen.done = true;
    if (type === 'error') fail(seen, error?.type);
  },
  'openai-responses': (seen, event) => {
    const { data } = responsesSchema.safeParse(event);
    if (data === undefined) return;
    const { type, response, code, error } = data;
    if (type === 'response.completed' || type === 'response.incomplete' || type === 'response.failed') {
      if (response !== undefined) merge(seen, response);
      seen.usageFinal = seen.usage !== null;
      seen.done = true;
    }
    if (type === 'response.failed') fail(seen, response?.error?.code);
    if (type === 'error') fail(seen, code ?? error?.code ?? error?.type);
  },
  'openai-chat': (seen, event) => {
    const { data } = chatSchema.safeParse(event);
    if (data === undefined) return;
    merge(seen, data);
    if (data.choices !== undefined) seen.stop ??= stopOfChoices(data.choices);
    // Some providers state the usage up to now in each chunk.
    const isLast = (data.choices ?? []).every(({ finish_reason: reason }) => reason !== undefined);
    if (data.usage !== undefined && data.usage !== null) seen.usageFinal = isLast;
    if (data.error !== undefined && data.error !== null) fail(seen, data.error.code ?? data.error.type);
  },
};

function merge(seen: ResponseUsage, answer: Pick<Answer, 'model' | 'usage' | 'service_tier'> & Partial<Answer>): void {
  if (answer.model !== undefined) seen.model = answer.model;
  if (answer.service_tier !== undefined) seen.serviceTier = answer.service_tier;
  if (answer.tool_usage !== undefined) seen.toolUsage = answer.tool_usage;
  if (answer.output !== undefined) seen.toolCalls = toolCallsIn(answer.output);
  seen.stop ??= stopOf(answer);
  if (answer.usage !== undefined && answer.usage !== null) mergeUsage(seen, answer.usage);
}

function stopOf({
  stop_reason: reason,
  incomplete_details: incomplete,
  output = [],
  choices: chosen = [],
}: Partial<Answer>): ModelStop | null {
  const isRefusal = output.some((item) => item.content?.some(({ type }) => type === 'refusal') === true);
  return modelStopOf(reason ?? incomplete?.reason) ?? (isRefusal ? 'refusal' : stopOfChoices(chosen));
}

function stopOfChoices(chosen: NonNullable<Answer['choices']>): ModelStop | null {
  const isRefusal = chosen.some(({ message, delta }) => (message?.refusal ?? delta?.refusal ?? '') !== '');
  return isRefusal ? 'refusal' : (chosen.map(({ finish_reason: reason }) => modelStopOf(reason)).find((stop) => stop !== null) ?? null);
}

/** Merges a usage object into the one seen; null fields never replace a figure. */
function mergeUsage(seen: ResponseUsage, usage: Record<string, unknown>): void {
  const stated = Object.entries(usage).filter(([, value]) => value !== null);
  seen.usage = { ...seen.usage, ...Object.fromEntries(stated) };
}

function toolCallsIn(output: NonNullable<Answer['output']>): PricedToolCall[] {
  return output.flatMap(({ type, container_id: container = null }) => (type?.endsWith('_call') ? [{ type, container }] : []));
}

function fail(seen: ResponseUsage, type: string | null | undefined): void {
  seen.stop ??= modelStopOf(type);
  seen.failure = codeOfStreamError(type);
  seen.isTransient = isTransientError(type);
  seen.done = true;
}
