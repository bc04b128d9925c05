import { meter, readUsage, type Metered, type WorstRates } from './prices.ts';
import type { Protocol } from './routes.ts';
import type { Tapped } from './usage-tap.ts';

/** About what tokenizers make of English and code, for what the provider left unsaid. */
const BYTES_PER_TOKEN = 4;

/**
 * What a request costs. The provider's final figures where there are any. An answer that broke off, or whose caller hung up,
 * is charged by what is known: the input as `message_start` stated it, else estimated from the size of the request, and the
 * output that was seen. Thinking that a provider bills and does not show is missed then. `model` is as the caller named it, `bytes`
 * the size of the request.
 */
export function charge(protocol: Protocol, model: string, bytes: number, seen: Readonly<Tapped>): Metered {
  const models = seen.model === null ? [model] : [seen.model, model];
  const stated = seen.usage === null ? null : readUsage(protocol, seen.usage);
  if (stated !== null && seen.usageFinal) return meter(protocol, models, stated);
  const outputTokens = Math.max(stated?.output_tokens ?? 0, Math.ceil(seen.outputChars / BYTES_PER_TOKEN));
  const input = stated ?? { input_tokens: Math.ceil(bytes / BYTES_PER_TOKEN) };
  return meter(protocol, models, { ...input, output_tokens: outputTokens });
}

/**
 * The most that a request can cost, USD: a token is at least a byte. Input that the provider keeps (an earlier response, a
 * file) is not in the request and not in the bound.
 */
export function worstCaseUsd({ inputUsd, outputUsd }: WorstRates, bytes: number, maxOutputTokens: number): number {
  return bytes * inputUsd + maxOutputTokens * outputUsd;
}
