import type { ResponseUsage } from '../protocols/response-usage.ts';
import type { Protocol } from '../protocols/routes.ts';
import { billOf, type Bill } from './bill.ts';
import type { ModelPrice, Prices } from './prices.ts';
import { tierFactor } from './tiers.ts';
import { toolUsd } from './tool-costs.ts';

/** Input that is not in the request: what providers add, for example to explain tools to the model. */
const ADDED_TOKENS = 4_096;
/** Sums of binary fractions drift, so a cost that equals its bound can come out above it. */
const DRIFT_USD = 1e-9;

/** The most that a request costs, decided before it is sent. */
export interface Reservation {
  /** At the provider's standard tier. */
  usd: number;
  /** Of the model that the request names. */
  price: ModelPrice;
  inputTokens: number;
  /** Of all choices. */
  outputTokens: number;
}

/** What a request is bounded by. */
export interface ReservedRequest {
  /** Size of the body: a token of text is at least a byte. */
  bytes: number;
  /** Of one choice; null where the request leaves it to the model. */
  maxOutputTokens: number | null;
  choices: number;
  /** Images in the body. An image of few bytes can have many tokens. */
  images?: number;
  /** Documents such as PDFs are in the body: compressed, they can fill the context window from few bytes. */
  documents?: boolean;
}

/** What a request costs. Tokens include those read from and written to a cache. */
export interface Charge {
  inputTokens: number;
  outputTokens: number;
  usd: number;
  /** The provider did not say what it costs: `usd` is an upper bound. */
  estimated: boolean;
  /** The provider stated a usage that cannot be true. */
  implausible: boolean;
}

/** What costs nothing. */
export const FREE: Charge = { inputTokens: 0, outputTokens: 0, usd: 0, estimated: false, implausible: false };

/** Bounds the cost of a request, from its own bytes and the limits of its model. */
export function reserve(price: ModelPrice, request: ReservedRequest): Reservation {
  const { bytes, maxOutputTokens, choices, images = 0, documents = false } = request;
  const inText = bytes + ADDED_TOKENS;
  const inImages = Math.min(inText + images * price.imageTokens, price.contextTokens);
  const inputTokens = Math.max(inText, documents ? price.contextTokens : 0, images > 0 ? inImages : 0);
  const outputTokens = (maxOutputTokens ?? price.maxOutputTokens) * choices;
  return { usd: price.worstCaseUsd(inputTokens, outputTokens), price, inputTokens, outputTokens };
}

/**
 * What a request costs by what its answer said: the provider's final figures where there are any. A failure that the provider
 * reported costs what it stated, else nothing. Any other answer without final figures costs its reservation, or the input that was
 * stated and the most output where that is less. Nothing costs more than its reservation at the tier that the answer states.
 * `model` is as the request names it.
 */
export function charge(prices: Prices, protocol: Protocol, model: string, reservation: Reservation, seen: Readonly<ResponseUsage>): Charge {
  const price = servedPrice(prices, protocol, reservation.price, seen.model);
  const factor = tierFactor(protocol, seen.model ?? model, seen);
  const mostUsd = reservation.usd * factor;
  const isComplete = seen.usageFinal || seen.failure !== null;
  const bill = seen.usage === null ? null : billOf(prices, protocol, price, seen.usage, { withoutOutput: !isComplete });
  if (bill === null) return seen.failure === null ? { ...FREE, usd: mostUsd, estimated: true } : FREE;
  if (!bill.plausible) return implausible(reservation, bill, mostUsd);

  const { inputTokens, outputTokens } = bill;
  if (!isComplete) {
    const outputUsd = price.worstCaseUsd(inputTokens, reservation.outputTokens) - price.worstCaseUsd(inputTokens, 0);
    const usd = Math.min(mostUsd, (bill.usd + outputUsd) * factor);
    return { inputTokens, outputTokens, usd, estimated: true, implausible: false };
  }
  const usd = bill.usd * factor + toolUsd(prices, price, seen);
  // The sum is NaN where a figure is no count.
  if (!(usd <= mostUsd + DRIFT_USD)) return implausible(reservation, bill, mostUsd);
  return { inputTokens, outputTokens, usd, estimated: !seen.usageFinal, implausible: false };
}

/** An operator's own price stays; else the answer can name a model more exactly than the request did. */
function servedPrice(prices: Prices, protocol: Protocol, requested: ModelPrice, served: string | null): ModelPrice {
  if (requested.by === 'file' || served === null) return requested;
  return prices.find(protocol, served) ?? requested;
}

function implausible({ inputTokens, outputTokens }: Reservation, bill: Bill, usd: number): Charge {
  return {
    inputTokens: bill.inputTokens <= inputTokens ? bill.inputTokens : 0,
    outputTokens: bill.outputTokens <= outputTokens ? bill.outputTokens : 0,
    usd,
    estimated: true,
    implausible: true,
  };
}
