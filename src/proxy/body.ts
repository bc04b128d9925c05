import type { IncomingMessage } from 'node:http';

import { z } from 'zod';

import { refusal, type Refusal } from './refusal.ts';
import type { Protocol } from './routes.ts';

const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** Above what any model that is priced can put out at once: the bound where the request sets none. */
const MAX_OUTPUT_TOKENS = 128_000;

const count = z.number().int().positive().nullish().catch(undefined);

const fieldsSchema = z.object({
  model: z.string().regex(/^[\x21-\x7e]{1,200}$/),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: count,
  max_completion_tokens: count,
  max_output_tokens: count,
  n: count,
  service_tier: z.unknown().optional(),
  speed: z.unknown().optional(),
  inference_geo: z.unknown().optional(),
  background: z.unknown().optional(),
});

type Fields = z.infer<typeof fieldsSchema>;

// Price data does not know what these cost, and a response in the background cannot be metered.
const PLAIN = {
  service_tier: ['auto', 'default', 'standard_only'],
  speed: ['standard'],
  inference_geo: ['global'],
  background: [false],
} satisfies Partial<Record<keyof Fields, unknown[]>>;

/** What the gateway has to know of a request; the bytes are what is sent on. */
export interface RequestBody {
  bytes: Buffer;
  model: string;
  /** The most output that it can ask for. */
  maxOutputTokens: number;
  /** A field that makes the price of the request unknown; null where there is none. */
  unpricedField: string | null;
}

/** Reads a request's body. A refusal where it is too large, ends early, or is no JSON with a model. Throws nothing. */
export async function readBody(req: IncomingMessage, protocol: Protocol | null): Promise<RequestBody | Refusal> {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') return refusal('llm_rejected', 'the gateway reads no compressed request bodies', 415);
  const tooLarge = refusal('llm_rejected', `the request body is larger than ${MAX_BODY_BYTES} bytes`, 413);
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return tooLarge;
  const collected = await collect(req);
  if (collected === 'too large') return tooLarge;
  return collected === 'left' ? refusal('cancelled', 'the caller left') : parseBody(collected, protocol);
}

/** By events: an iterator takes its time over each chunk, on the way of every request. */
function collect(req: IncomingMessage): Promise<Buffer | 'too large' | 'left'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      chunks.push(chunk);
      if (length <= MAX_BODY_BYTES) return;
      req.off('data', onData).pause();
      resolve('too large');
    };
    req.on('data', onData);
    req.once('end', () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)));
    req.once('error', () => resolve('left'));
    req.once('close', () => resolve('left'));
  });
}

function parseBody(bytes: Buffer, protocol: Protocol | null): RequestBody | Refusal {
  const json = parseJson(bytes.toString());
  const fields = fieldsSchema.safeParse(json);
  if (!fields.success) return refusal('llm_rejected', 'the request body must be a JSON object that names a model');
  const { model, max_tokens, max_completion_tokens, max_output_tokens, n } = fields.data;
  return {
    bytes: protocol === 'openai-chat' && fields.data.stream === true ? withUsage(bytes, json, fields.data) : bytes,
    model,
    maxOutputTokens: (max_output_tokens ?? max_completion_tokens ?? max_tokens ?? MAX_OUTPUT_TOKENS) * (n ?? 1),
    unpricedField: unpricedField(fields.data),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Switches usage reporting on for a Chat Completions stream, the one change that is ever made to a body. The chunk with the
 * usage and no choices then reaches a caller who did not ask for it: hiding it would mean to rewrite the response, and the
 * official clients, and those agents that speak this protocol, ask for it themselves or skip a chunk without choices.
 */
function withUsage(bytes: Buffer, json: unknown, { stream_options: options }: Fields): Buffer {
  if (options?.include_usage === true) return bytes;
  if (options === undefined) {
    const inside = bytes.indexOf('{') + 1;
    return Buffer.concat([bytes.subarray(0, inside), Buffer.from('"stream_options":{"include_usage":true},'), bytes.subarray(inside)]);
  }
  // There is an option object already, and a second one would be read differently by different parsers.
  return Buffer.from(JSON.stringify(Object.assign({}, json, { stream_options: { ...options, include_usage: true } })));
}

function unpricedField(fields: Fields): string | null {
  for (const [field, allowed] of Object.entries(PLAIN)) {
    const value = Object.entries(fields).find(([name]) => name === field)?.[1];
    if (value !== undefined && value !== null && !allowed.some((plain) => plain === value)) return field;
  }
  return null;
}
