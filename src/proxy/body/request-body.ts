import type { IncomingMessage } from 'node:http';
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';

import { messagesBody } from '../protocols/anthropic-body.ts';
import { chatBody, responsesBody } from '../protocols/openai-body.ts';
import type { Protocol } from '../protocols/routes.ts';
import { isRefusal, refusal, type Refusal } from '../server/refusal.ts';
import { collectBody } from './collect.ts';
import { noFacts, scanBody, type BodyFacts, type BodyShape } from './facts.ts';
import type { HeldBytes } from './memory.ts';

/** A request's body, and what the gateway has to know of it. */
export interface RequestBody {
  /** The bytes to forward, in parts that avoid a copy of a large body. */
  parts: readonly Buffer[];
  /** Bytes of the body as it was received. */
  size: number;
  model: string;
  stream: boolean;
  /** The requested limit on the output tokens of one choice; null where the body states none. */
  maxOutputTokens: number | null;
  choices: number;
  images: number;
  documents: boolean;
}

const SHAPES: Record<Protocol, BodyShape> = {
  'anthropic-messages': messagesBody,
  'openai-responses': responsesBody,
  'openai-chat': chatBody,
};

/** Bodies above this size are scanned one after the other: scanned together they would delay all other requests. */
const LARGE_BODY_BYTES = 1024 * 1024;

/** Reads the bodies of a proxy's requests. */
export class BodyReader {
  #lastLarge: Promise<void> = Promise.resolve();

  /**
   * Reads a request's body. Resolves to a refusal where the gateway does not pass it: it is too large, is not a JSON object with a model,
   * or has a field that has no known price or belongs to somebody else. Throws nothing.
   */
  async read(req: IncomingMessage, protocol: Protocol, memory: HeldBytes, signal: AbortSignal): Promise<RequestBody | Refusal> {
    const bytes = await collectBody(req, memory, signal);
    if (isRefusal(bytes)) return bytes;
    if (bytes.length <= LARGE_BODY_BYTES) return this.#scan(bytes, protocol);
    const before = this.#lastLarge;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#lastLarge = promise;
    await before;
    try {
      return await this.#scan(bytes, protocol);
    } finally {
      resolve();
    }
  }

  async #scan(bytes: Buffer, protocol: Protocol): Promise<RequestBody | Refusal> {
    const facts = noFacts();
    const scan = scanBody(bytes, SHAPES[protocol], facts);
    while (!scan.step()) {
      if (facts.problem !== null) break;
      await yieldToEventLoop();
    }
    if (facts.problem !== null) return refusal(facts.problem.code, facts.problem.message, facts.problem.status);
    if (scan.problem !== null) return refusal('llm_rejected', scan.problem);
    if (facts.model === null) return refusal('llm_rejected', 'The request body must be a JSON object that names a model.');
    return {
      parts: rewriteFields(bytes, protocol, facts),
      size: bytes.length,
      model: facts.model,
      stream: facts.stream,
      maxOutputTokens: facts.maxOutputTokens.length === 0 ? null : Math.max(...facts.maxOutputTokens),
      choices: facts.choices,
      images: facts.images,
      documents: facts.documents,
    };
  }
}

/**
 * Sets the fields that decide what the provider stores, which tier serves the request, and whether a Chat Completions stream reports its
 * usage. The chunk with the usage and without choices also reaches callers that did not request it: hiding it would require rewriting
 * the answer, and clients either request it themselves or skip a chunk without choices.
 */
function rewriteFields(bytes: Buffer, protocol: Protocol, facts: BodyFacts): Buffer[] {
  if (protocol === 'anthropic-messages') return [bytes];
  const fields: Record<string, string> = { store: 'false', service_tier: '"default"' };
  if (protocol === 'openai-chat' && facts.stream) fields.stream_options = '{"include_usage":true}';
  const present = Object.keys(fields).flatMap((name) => {
    const range = facts.ranges.get(name);
    return range === undefined ? [] : [{ ...range, text: fields[name] ?? '' }];
  });
  const missing = Object.entries(fields).filter(([name]) => !facts.ranges.has(name));
  const parts: Buffer[] = [];
  let at = bytes.indexOf('{') + 1;
  parts.push(bytes.subarray(0, at), Buffer.from(missing.map(([name, text]) => `"${name}":${text},`).join('')));
  for (const { from, to, text } of present.toSorted((a, b) => a.from - b.from)) {
    parts.push(bytes.subarray(at, from), Buffer.from(text));
    at = to;
  }
  parts.push(bytes.subarray(at));
  return bytes.length > LARGE_BODY_BYTES ? parts : [Buffer.concat(parts)];
}
