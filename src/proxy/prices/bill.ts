import type { Protocol } from '../protocols/routes.ts';
import { count, isPlausible, object, readUsage, type StatedUsage } from '../protocols/usage-readers.ts';
import type { ModelPrice, Prices } from './prices.ts';

/** The tokens of an answer, each at the price of the model that used it. Tool calls of Anthropic are among them. */
export interface Bill {
  inputTokens: number;
  outputTokens: number;
  usd: number;
  /** All of its figures can be true. */
  plausible: boolean;
}

interface Item {
  /** Null: a model whose price is unknown. */
  price: ModelPrice | null;
  usage: StatedUsage;
}

/**
 * Prices a usage object; null where it states no tokens. With `withoutOutput` its output costs nothing, for an answer whose output
 * is not known yet.
 */
export function billOf(
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
    bill.usd += item.price === null ? prices.dearestUsd('anthropic', charged) : item.price.usd(charged);
    bill.plausible &&= isPlausible(item.usage);
  }
  return bill;
}

/**
 * The figures of a usage object of Anthropic are the sums over the model's own iterations (`message`). What it leaves out stands in
 * `iterations` only: compactions by the same model, and advisors, which have models of their own. Where another model served the
 * answer (`fallback_message`), each iteration is priced by its own model. By BetaUsage and BetaIterationsUsage of @anthropic-ai/sdk.
 */
function messageItems(prices: Prices, price: ModelPrice, usage: Record<string, unknown>, whole: StatedUsage): Item[] {
  const iterations = Array.isArray(usage['iterations']) ? usage['iterations'].map(object) : [];
  if (iterations.length === 0) return [{ price, usage: whole }];
  const isServedByAnother = iterations.some(({ type }) => type === 'fallback_message');
  const items = iterations
    .filter(({ type }) => isServedByAnother || type !== 'message')
    .map((iteration) => ({ price: priceOf(prices, price, iteration['model']), usage: readIteration(iteration) }));
  if (!isServedByAnother) return [{ price, usage: whole }, ...items];
  const searches = { web_searches: count(object(usage['server_tool_use'])['web_search_requests']) };
  return [...items, { price, usage: { inputTokens: 0, outputTokens: 0, priced: searches } }];
}

function priceOf(prices: Prices, own: ModelPrice, model: unknown): ModelPrice | null {
  if (model === undefined || model === null || model === own.name) return own;
  return typeof model === 'string' ? prices.find('anthropic-messages', model) : null;
}

/** An entry that states no tokens cannot be true. */
function readIteration(iteration: Record<string, unknown>): StatedUsage {
  return (
    readUsage('anthropic-messages', iteration) ?? {
      inputTokens: Number.NaN,
      outputTokens: Number.NaN,
      priced: { input_tokens: Number.NaN, output_tokens: Number.NaN },
    }
  );
}
