import type { Usage as PricedUsage, TieredPrices } from '@pydantic/genai-prices';

/** Prices of a model in the units of @pydantic/genai-prices: USD per million tokens, or per thousand requests. */
export type PriceTable = Record<string, number | TieredPrices | undefined>;

/** Prices of one model, prepared once: an evaluation takes under a microsecond, the library's own lookup about eighty. */
export interface Rates {
  /** Returns the USD of a usage. A part that is larger than its whole is charged in full. */
  usd(usage: PricedUsage): number;
  /** Returns an upper bound in USD: every token at the highest rate that this number of input tokens can reach. */
  worstCaseUsd(inputTokens: number, outputTokens: number): number;
  /** USD per million, below every long-context tier. */
  inputUsdPerMillion: number;
  outputUsdPerMillion: number;
}

interface Unit {
  usage: string;
  price: string;
  per: number;
  direction: 'input' | 'output' | 'tool';
  /** The units whose figure includes this one's. */
  within: readonly string[];
}

const MILLION = 1e6;
const THOUSAND = 1e3;

const part = (usage: string, price: string, ...within: string[]): Unit => {
  const direction = within.includes('output_tokens') || usage === 'output_tokens' ? 'output' : 'input';
  return { usage, price, per: MILLION, direction, within };
};
const tool = (usage: string, price: string): Unit => ({ usage, price, per: THOUSAND, direction: 'tool', within: [] });

/** The units in the library's price tables of Anthropic and OpenAI. Each part precedes the units that include it. */
const UNITS: readonly Unit[] = [
  part('cache_write_1h_tokens', 'cache_write_1h_mtok', 'cache_write_tokens', 'input_tokens'),
  part('cache_audio_read_tokens', 'cache_audio_read_mtok', 'cache_read_tokens', 'input_audio_tokens', 'input_tokens'),
  part('cache_image_read_tokens', 'cache_image_read_mtok', 'cache_read_tokens', 'input_image_tokens', 'input_tokens'),
  part('cache_write_tokens', 'cache_write_mtok', 'input_tokens'),
  part('cache_read_tokens', 'cache_read_mtok', 'input_tokens'),
  part('input_audio_tokens', 'input_audio_mtok', 'input_tokens'),
  part('input_image_tokens', 'input_image_mtok', 'input_tokens'),
  part('output_audio_tokens', 'output_audio_mtok', 'output_tokens'),
  part('output_image_tokens', 'output_image_mtok', 'output_tokens'),
  part('input_tokens', 'input_mtok'),
  part('output_tokens', 'output_mtok'),
  tool('web_searches', 'web_searches_kcount'),
  tool('storage_searches', 'storage_searches_kcount'),
];

/** USD per thousand, for a model whose table omits the price: all models that state one have the same. */
const TOOL_PRICES = { web_searches_kcount: 10, storage_searches_kcount: 2.5 };

interface Rate {
  unit: Unit;
  base: number;
  tiers: readonly { start: number; price: number }[];
  /** Indices of the rates whose tokens are included in this one's. */
  parts: readonly number[];
}

/**
 * Prepares a price table. Returns null where it lacks a price of input or of output, or has a price for an unknown unit: the model then
 * counts as unpriced.
 */
export function prepareRates(table: PriceTable): Rates | null {
  const priced: PriceTable = { ...TOOL_PRICES, ...table };
  if (Object.keys(priced).some((key) => !UNITS.some(({ price }) => price === key))) return null;
  const units = UNITS.filter(({ price }) => priced[price] !== undefined);
  const rates = units.map((unit): Rate => {
    const price = priced[unit.price] ?? 0;
    const parts = units.flatMap(({ within }, index) => (within.includes(unit.usage) ? [index] : []));
    return typeof price === 'number' ? { unit, base: price, tiers: [], parts } : { unit, base: price.base, tiers: price.tiers, parts };
  });
  const input = rates.find(({ unit }) => unit.usage === 'input_tokens');
  const output = rates.find(({ unit }) => unit.usage === 'output_tokens');
  if (input === undefined || output === undefined) return null;
  return {
    usd: (usage) => usdOf(rates, usage),
    worstCaseUsd: (inputTokens, outputTokens) =>
      (inputTokens * highestRate(rates, 'input', inputTokens) + outputTokens * highestRate(rates, 'output', inputTokens)) / MILLION,
    inputUsdPerMillion: input.base,
    outputUsdPerMillion: output.base,
  };
}

function usdOf(rates: readonly Rate[], usage: PricedUsage): number {
  const inputTokens = usage['input_tokens'] ?? 0;
  const own: number[] = [];
  let usd = 0;
  for (const { unit, base, tiers, parts } of rates) {
    let amount = usage[unit.usage] ?? 0;
    for (const index of parts) amount -= own[index] ?? 0;
    amount = Math.max(0, amount);
    own.push(amount);
    usd += (amount * priceAt(base, tiers, inputTokens)) / unit.per;
  }
  return usd;
}

/** Returns the rate of the tier that the input reaches: the provider bills the whole request at it. */
function priceAt(base: number, tiers: Rate['tiers'], inputTokens: number): number {
  let price = base;
  for (const tier of tiers) if (inputTokens > tier.start) price = tier.price;
  return price;
}

function highestRate(rates: readonly Rate[], direction: Unit['direction'], inputTokens: number): number {
  let most = 0;
  for (const { unit, base, tiers } of rates) {
    if (unit.direction !== direction) continue;
    most = Math.max(most, base);
    for (const { start, price } of tiers) if (inputTokens > start) most = Math.max(most, price);
  }
  return most;
}
