import type { Usage as PricedUsage } from '@pydantic/genai-prices';

import type { Dialect } from '../../contract/dialect.ts';
import type { PricedModel } from '../../store/priced-models.ts';
import type { Protocol } from '../protocols/routes.ts';
import { findBundled, listBundledNames } from './bundled-prices.ts';
import { findModelLimits, type ModelLimits } from './model-limits.ts';
import { prepareRates, type PriceTable, type Rates } from './rates.ts';

export type { PricedUsage };

/** The price of a model, under the name that requests use. */
export interface ModelPrice extends Rates, ModelLimits {
  name: string;
  /** Where the price comes from: the data of @pydantic/genai-prices, or the operator's file. */
  by: 'bundled' | 'file';
}

/** One line of `valetkey models`. Prices are in USD per million tokens, below every long-context tier. */
export interface ListedModel {
  dialect: Dialect;
  name: string;
  by: ModelPrice['by'];
  contextTokens: number;
  maxOutputTokens: number;
  inputUsdPerMillion: number;
  outputUsdPerMillion: number;
}

/** The models whose price is known. */
export interface Prices {
  /** Returns null where the price of exactly this name is unknown: such a request is refused, never served for free. */
  find(protocol: Protocol, model: string): ModelPrice | null;
  /** Lists the models by dialect and name, without the dated snapshots of the bundled ones. */
  list(): ListedModel[];
  /** Returns the highest USD that this usage costs with any known model of a dialect. */
  highestUsd(dialect: Dialect, usage: PricedUsage): number;
}

const DIALECT_OF: Record<Protocol, Dialect> = { 'anthropic-messages': 'anthropic', 'openai-responses': 'openai', 'openai-chat': 'openai' };

/** Callers choose the names, so the cache needs a limit. */
const MAX_CACHED_MODELS = 1_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Combines the bundled prices with an operator's own, which take precedence. Does no I/O; prices with a start date change at midnight UTC. */
export function createPrices(overrides: readonly PricedModel[]): Prices {
  const own = new Map(overrides.map((model) => [cacheKey(model.dialect, model.name), priceFromFile(model)]));
  const cache = new Map<string, ModelPrice | null>();
  let cachedOnDay = 0;

  const find = (dialect: Dialect, name: string): ModelPrice | null => {
    const key = cacheKey(dialect, name);
    const day = Math.floor(Date.now() / DAY_MS);
    if (day !== cachedOnDay || cache.size >= MAX_CACHED_MODELS) cache.clear();
    cachedOnDay = day;
    const cached = own.get(key) ?? cache.get(key);
    if (cached !== undefined) return cached;
    const found = bundledPrice(dialect, name);
    cache.set(key, found);
    return found;
  };
  const all = (): { dialect: Dialect; price: ModelPrice }[] => {
    const names = [...overrides, ...listBundledNames()].map(({ dialect, name }) => [cacheKey(dialect, name), { dialect, name }] as const);
    return [...new Map(names).values()].flatMap(({ dialect, name }) => {
      const price = find(dialect, name);
      return price === null ? [] : [{ dialect, price }];
    });
  };
  return {
    find: (protocol, model) => find(DIALECT_OF[protocol], model),
    list: () =>
      all()
        .map(toListedModel)
        .toSorted((a, b) => a.dialect.localeCompare(b.dialect) || a.name.localeCompare(b.name)),
    highestUsd: (dialect, usage) => Math.max(0, ...all().map((model) => (model.dialect === dialect ? model.price.usd(usage) : 0))),
  };
}

function cacheKey(dialect: Dialect, name: string): string {
  return `${dialect} ${name}`;
}

function bundledPrice(dialect: Dialect, name: string): ModelPrice | null {
  const found = findBundled(dialect, name);
  const rates = found && prepareRates(found.prices);
  return rates && { ...rates, ...findModelLimits(found.id, found), name, by: 'bundled' };
}

function priceFromFile(model: PricedModel): ModelPrice {
  const table: PriceTable = {
    input_mtok: model.inputUsdPerMillion,
    output_mtok: model.outputUsdPerMillion,
    cache_read_mtok: model.cachedInputUsdPerMillion,
    cache_write_mtok: model.cacheWriteUsdPerMillion,
  };
  const rates = prepareRates(table);
  if (rates === null) throw new Error('A model of the price file has no price of input or of output.');
  const bundled = findBundled(model.dialect, model.name);
  const stated = { contextTokens: model.contextTokens ?? bundled?.contextTokens, maxOutputTokens: model.maxOutputTokens };
  return { ...rates, ...findModelLimits(bundled?.id ?? model.name, stated), name: model.name, by: 'file' };
}

function toListedModel({ dialect, price }: { dialect: Dialect; price: ModelPrice }): ListedModel {
  const { name, by, contextTokens, maxOutputTokens, inputUsdPerMillion, outputUsdPerMillion } = price;
  return { dialect, name, by, contextTokens, maxOutputTokens, inputUsdPerMillion, outputUsdPerMillion };
}
