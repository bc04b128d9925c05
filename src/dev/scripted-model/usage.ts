import { roundUsd } from '../../contract/money.ts';

/** Tokens as the scripted model reports them. */
export interface SentUsage {
  /** All input tokens, those read from and written to the cache included. */
  input: number;
  cacheRead: number;
  /** Written to the cache for five minutes and for an hour; Anthropic only. */
  cacheWrite5m: number;
  cacheWrite1h: number;
  output: number;
  /** Part of `output`; OpenAI only. */
  reasoning: number;
}

interface Price {
  input: number;
  cacheRead: number;
  cacheWrite5m: number;
  cacheWrite1h: number;
  output: number;
}

/**
 * USD a million tokens as the providers publish them (claude.com/pricing, openai.com/api/pricing), below 200,000 input tokens.
 * Kept by hand, apart from the gateway's price list, which is checked against it.
 */
const PRICES: Record<string, Price> = {
  'claude-sonnet-4-6': { input: 3, cacheRead: 0.3, cacheWrite5m: 3.75, cacheWrite1h: 6, output: 15 },
  'claude-haiku-4-5': { input: 1, cacheRead: 0.1, cacheWrite5m: 1.25, cacheWrite1h: 2, output: 5 },
  'gpt-5.1-codex': { input: 1.25, cacheRead: 0.125, cacheWrite5m: 0, cacheWrite1h: 0, output: 10 },
  'gpt-5.1': { input: 1.25, cacheRead: 0.125, cacheWrite5m: 0, cacheWrite1h: 0, output: 10 },
};

export const MODELS = Object.keys(PRICES);

interface Answered {
  bodyBytes: number;
  output: string;
  thinking: string;
  writesCache: boolean;
}

/** Below the long-context prices. */
const MAX_INPUT_TOKENS = 150_000;

/** Tokens of a request body of so many bytes. */
export function inputTokens(bodyBytes: number): number {
  return Math.min(Math.ceil(bodyBytes / 4), MAX_INPUT_TOKENS);
}

/** The same for the same body and answer. None to three quarters of the input are read from a cache, as the body's length falls. */
export function usageOf({ bodyBytes, output, thinking, writesCache }: Answered): SentUsage {
  const input = inputTokens(bodyBytes);
  const cacheRead = Math.floor((input * (bodyBytes % 4)) / 4);
  const written = writesCache ? Math.floor((input - cacheRead) / 2) : 0;
  const cacheWrite1h = Math.floor(written / 4);
  const reasoning = Math.ceil(thinking.length / 4);
  return {
    input,
    cacheRead,
    cacheWrite5m: written - cacheWrite1h,
    cacheWrite1h,
    output: reasoning + Math.ceil(output.length / 4) + 5,
    reasoning,
  };
}

/** What the provider charges, in USD; null for a model without a price. */
export function usdOf(model: string, usage: SentUsage): number | null {
  const price = PRICES[model];
  if (price === undefined) return null;
  const { input, cacheRead, cacheWrite5m, cacheWrite1h, output } = usage;
  const plain = input - cacheRead - cacheWrite5m - cacheWrite1h;
  const micro =
    plain * price.input +
    cacheRead * price.cacheRead +
    cacheWrite5m * price.cacheWrite5m +
    cacheWrite1h * price.cacheWrite1h +
    output * price.output;
  return roundUsd(micro / 1e6);
}
