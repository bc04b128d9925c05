import type { Protocol } from '../protocols/routes.ts';
import { readCount, isPlausible, readObject, readUsage, type StatedUsage } from '../protocols/usage-readers.ts';
import type { ModelPrice, Prices } from './prices.ts';

/** The tokens of an answer and their price, each token at the price of the model that used it; with Anthropic's tool calls. */
export interface Bill {
  inputTokens: number;
  outputTokens: number;
  usd: number;
  /** Every figure is possible: a readCount, and no part above its whole. */
  plausible: boolean;
}

interface Item {
  /** Null for a model whose price is unknown. */
  price: ModelPrice | null;
  usage: StatedUsage;
}

/**
 * Prices a usage object; null where it states no tokens. With `withoutOutput` the output costs nothing, for an answer whose output
 * is not known yet.
 */
export function priceUsage(
  prices: Prices,
  protocol: Protocol,
  price: ModelPrice,
  usage: Record<string, unknown>,
  { withoutOutput = false }: { withoutOutput?: boolean } = {},
): Bill | null {
  const whole = readUsage(protocol, usage);
  if (whole === null) return null;
  const items = protocol === 'anthropic-messages' ? messageItems(prices, price, usage, whole) : [{ price, usage: whole }];
  const bill: Bill = { inputTokens: 0, outputTokens: 0, usd: 0, plausible: true };
  for (const item of items) {
    const { inputTokens, outputTokens, priced } = item.usage;
    bill.inputTokens += inputTokens;
    bill.outputTokens += outputTokens;
    const charged = withoutOutput ? { ...priced, output_tokens: 0, output_audio_tokens: 0 } : priced;
    bill.usd += item.price === null ? prices.highestUsd('anthropic', charged) : item.price.usd(charged);
    bill.plausible &&= isPlausible(item.usage);
  }
  return bill;
}

/**
 * Lists the priced items of an Anthropic usage object. Its own figures are the sums over the model's iterations of type `message`. Only
 * `iterations` has the rest: compactions by the same model, and advisors, which have models of their own. Where another model served
 * the answer (`fallback_message`), each iteration is priced by its own model. Source: BetaUsage and BetaIterationsUsage of
 * @anthropic-ai/sdk.
 */
function messageItems(prices: Prices, price: ModelPrice, usage: Record<string, unknown>, whole: StatedUsage): Item[] {
  const iterations = Array.isArray(usage['iterations']) ? usage['iterations'].map(readObject) : [];
  if (iterations.length === 0) return [{ price, usage: whole }];
  const isServedByAnother = iterations.some(({ type }) => type === 'fallback_message');
  const items = iterations
    .filter(({ type }) => isServedByAnother || type !== 'message')
    .map((iteration) => ({ price: findIterationPrice(prices, price, iteration['model']), usage: readIteration(iteration) }));
  if (!isServedByAnother) return [{ price, usage: whole }, ...items];
  const searches = { web_searches: readCount(readObject(usage['server_tool_use'])['web_search_requests']) };
  return [...items, { price, usage: { inputTokens: 0, outputTokens: 0, priced: searches } }];
}

function findIterationPrice(prices: Prices, own: ModelPrice, model: unknown): ModelPrice | null {
  if (model === undefined || model === null || model === own.name) return own;
  return typeof model === 'string' ? prices.find('anthropic-messages', model) : null;
}

/** Reads an iteration; one without tokens is implausible. */
function readIteration(iteration: Record<string, unknown>): StatedUsage {
  return (
    readUsage('anthropic-messages', iteration) ?? {
      inputTokens: Number.NaN,
      outputTokens: Number.NaN,
      priced: { input_tokens: Number.NaN, output_tokens: Number.NaN },
    }
  );
}
