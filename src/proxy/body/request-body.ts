import type { IncomingMessage } from 'node:http';
import { setImmediate as breathe } from 'node:timers/promises';

import { messagesBody } from '../protocols/anthropic-body.ts';
import { chatBody, responsesBody } from '../protocols/openai-body.ts';
import type { Protocol } from '../protocols/routes.ts';
import { isRefusal, refusal, type Refusal } from '../server/refusal.ts';
import { collectBody } from './collect.ts';
import { noFacts, scanBody, type BodyFacts, type BodyShape } from './facts.ts';
import type { HeldBytes } from './memory.ts';

/** What the gateway has to know of a request; the bytes are what is sent on. */
export interface RequestBody {
  /** What is sent on, in pieces that need no copy of a large body. */
  parts: readonly Buffer[];
  /** Bytes of the body as it came. */
  size: number;
  model: string;
  stream: boolean;
  /** The most output that it asks for, of one choice; null where it states none. */
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

/** Larger ones are read one after the other: together they would hold up everybody else. */
const LARGE_BYTES = 1024 * 1024;

/** Reads the bodies of a proxy's requests. */
export class BodyReader {
  #lastLarge: Promise<void> = Promise.resolve();

  /**
   * Reads a request's body. A refusal where it cannot be passed: too large, no JSON with a model, or with something in it that is not
   * priced, or not the job's. Throws nothing.
   */
  async read(req: IncomingMessage, protocol: Protocol, memory: HeldBytes, signal: AbortSignal): Promise<RequestBody | Refusal> {
    const bytes = await collectBody(req, memory, signal);
    if (isRefusal(bytes)) return bytes;
    if (bytes.length <= LARGE_BYTES) return this.#scan(bytes, protocol);
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
      await breathe();
    }
    if (facts.problem !== null) return refusal(facts.problem.code, facts.problem.message, facts.problem.status);
    if (scan.problem !== null) return refusal('llm_rejected', scan.problem);
    if (facts.model === null) return refusal('llm_rejected', 'The request body must be a JSON object that names a model.');
    return {
      parts: rewritten(bytes, protocol, facts),
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
 * Sets the fields that decide what the provider stores, at which tier it serves, and whether a Chat Completions stream reports its
 * usage. The chunk with the usage and no choices reaches callers who did not ask for it: hiding it would mean to rewrite the answer,
 * and clients ask for it themselves or skip a chunk without choices.
 */
function rewritten(bytes: Buffer, protocol: Protocol, facts: BodyFacts): Buffer[] {
  if (protocol === 'anthropic-messages') return [bytes];
  const fields: Record<string, string> = { store: 'false', service_tier: '"default"' };
  if (protocol === 'openai-chat' && facts.stream) fields.stream_options = '{"include_usage":true}';
  const standing = Object.keys(fields).flatMap((name) => {
    const range = facts.ranges.get(name);
    return range === undefined ? [] : [{ ...range, text: fields[name] ?? '' }];
  });
  const missing = Object.entries(fields).filter(([name]) => !facts.ranges.has(name));
  const parts: Buffer[] = [];
  let at = bytes.indexOf('{') + 1;
  parts.push(bytes.subarray(0, at), Buffer.from(missing.map(([name, text]) => `"${name}":${text},`).join('')));
  for (const { from, to, text } of standing.toSorted((a, b) => a.from - b.from)) {
    parts.push(bytes.subarray(at, from), Buffer.from(text));
    at = to;
  }
  parts.push(bytes.subarray(at));
  return bytes.length > LARGE_BYTES ? parts : [Buffer.concat(parts)];
}
