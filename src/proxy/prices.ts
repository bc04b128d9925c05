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
const MAX_CACHED_MODELS = 1_000;

const anthropic = providerOf('anthropic');
const openai = providerOf('openai');

// The bundled price data, never fetched: a price changes with the package, so two replicas agree.
const SOURCES: Record<Protocol, { provider: Provider; flavour: string }> = {
  'anthropic-messages': { provider: anthropic, flavour: 'default' },
  'openai-responses': { provider: openai, flavour: 'responses' },
  'openai-chat': { provider: openai, flavour: 'chat' },
};

/** A model as the price data knows it, found once: looking it up takes longer than pricing. */
interface PricedModel {
  /** The provider with this model only. */
  provider: Provider;
  rates: WorstRates;
}

const models = new Map<string, PricedModel | null>();

/** Upper bound of a model's rates; null where its price is not known. */
export function worstRates(protocol: Protocol, model: string): WorstRates | null {
  return pricedModel(protocol, model)?.rates ?? null;
}

function pricedModel(protocol: Protocol, model: string): PricedModel | null {
  const key = `${protocol} ${model}`;
  const known = models.get(key);
  if (known !== undefined) return known;
  if (models.size >= MAX_CACHED_MODELS) models.clear();
  const n = MANY_TOKENS;
  const { provider } = SOURCES[protocol];
  const price = calcPrice({ input_tokens: n, cache_write_tokens: n, cache_write_1h_tokens: n, output_tokens: n }, model, { provider });
  const found = price && {
    provider: { ...price.provider, models: [price.model] },
    rates: { inputUsd: price.input_price / n, outputUsd: price.output_price / n },
  };
  models.set(key, found);
  return found;
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
export function meter(protocol: Protocol, candidates: readonly string[], usage: PricedUsage): Metered {
  const tokens = { inputTokens: Math.round(usage.input_tokens ?? 0), outputTokens: Math.round(usage.output_tokens ?? 0) };
  for (const model of candidates) {
    const known = pricedModel(protocol, model);
    const price = known && calcPrice(usage, model, { provider: known.provider });
    if (price !== null) return { ...tokens, usd: price.total_price };
  }
  return { ...tokens, usd: 0 };
}

function providerOf(id: string): Provider {
  const found = findProvider({ providerId: id });
  if (found === undefined) throw new Error(`the price data knows no provider ${id}`);
  return found;
}
