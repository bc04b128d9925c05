import { calcPrice, extractUsage, findProvider, type Provider, type Usage as PricedUsage } from '@pydantic/genai-prices';

import type { Protocol } from './routes.ts';

/** What one request used: every input token, those read from and written to a cache included. */
export interface Metered {
  inputTokens: number;
  outputTokens: number;
  /** USD. */
  usd: number;
}

/** USD a token, at the dearest tier and as if the whole input were written to the cache. */
export interface WorstRates {
  inputUsd: number;
  outputUsd: number;
}

/** Beyond every tier of every model. */
const MANY_TOKENS = 1e9;
const MAX_CACHED_RATES = 1_000;

const anthropic = provider('anthropic');
const openai = provider('openai');

// The bundled price data, never fetched: a price changes with the package, so two replicas agree.
const SOURCES: Record<Protocol, { provider: Provider; flavour: string }> = {
  'anthropic-messages': { provider: anthropic, flavour: 'default' },
  'openai-responses': { provider: openai, flavour: 'responses' },
  'openai-chat': { provider: openai, flavour: 'chat' },
};

const ratesByModel = new Map<string, WorstRates | null>();

/** Upper bound of a model's rates; null where its price is not known. */
export function worstRates(protocol: Protocol, model: string): WorstRates | null {
  const key = `${protocol} ${model}`;
  const cached = ratesByModel.get(key);
  if (cached !== undefined) return cached;
  if (ratesByModel.size >= MAX_CACHED_RATES) ratesByModel.clear();
  const n = MANY_TOKENS;
  const price = calcPrice({ input_tokens: n, cache_write_tokens: n, cache_write_1h_tokens: n, output_tokens: n }, model, SOURCES[protocol]);
  const rates = price === null ? null : { inputUsd: price.input_price / n, outputUsd: price.output_price / n };
  ratesByModel.set(key, rates);
  return rates;
}

/** Tokens as the provider's usage object states them; null where it states none. */
export function readUsage(protocol: Protocol, usage: unknown): PricedUsage | null {
  const { provider, flavour } = SOURCES[protocol];
  try {
    // The model is not looked at, but the extractor insists on a name.
    return extractUsage(provider, { model: 'any', usage }, flavour).usage;
  } catch {
    return null;
  }
}

/** Prices the usage with the first of these models whose price is known; its tokens count even where none is. */
export function meter(protocol: Protocol, models: readonly string[], usage: PricedUsage): Metered {
  const tokens = { inputTokens: Math.round(usage.input_tokens ?? 0), outputTokens: Math.round(usage.output_tokens ?? 0) };
  for (const model of models) {
    const price = calcPrice(usage, model, SOURCES[protocol]);
    if (price !== null) return { ...tokens, usd: price.total_price };
  }
  return { ...tokens, usd: 0 };
}

function provider(id: string): Provider {
  const found = findProvider({ providerId: id });
  if (found === undefined) throw new Error(`the price data knows no provider ${id}`);
  return found;
}
