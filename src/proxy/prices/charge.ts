import type { ResponseUsage } from '../protocols/response-usage.ts';
import type { Protocol } from '../protocols/routes.ts';
import { priceUsage, type Bill } from './bill.ts';
import type { ModelPrice, Prices } from './prices.ts';
import { tierFactor } from './tiers.ts';
import { toolUsd } from './tool-costs.ts';

/** The highest number of input tokens that a provider adds to a request, for example to explain tools to the model. */
const MAX_PROVIDER_INPUT_TOKENS = 4_096;
/** Sums of binary fractions have rounding errors, so a cost that equals its bound can come out slightly above it. */
const ROUNDING_TOLERANCE_USD = 1e-9;

/** The upper bound of a request's cost, computed before it is sent. */
export interface Reservation {
  /** The bound at the provider's standard tier. */
  usd: number;
  /** The price of the model that the request names. */
  price: ModelPrice;
  inputTokens: number;
  /** For all choices together. */
  outputTokens: number;
}

/** The properties of a request that bound its cost. */
export interface ReservedRequest {
  /** Size of the body: a token of text has at least one byte. */
  bytes: number;
  /** For one choice; null where the request leaves the limit to the model. */
  maxOutputTokens: number | null;
  choices: number;
  /** The number of images in the body. An image of few bytes can have many tokens. */
  images?: number;
  /** The body has documents such as PDFs: compressed, few bytes can fill the context window. */
  documents?: boolean;
}

/** The cost of a request. The tokens include those read from and written to a cache. */
export interface Charge {
  inputTokens: number;
  outputTokens: number;
  usd: number;
  /** The provider did not state the cost: `usd` is an upper bound. */
  estimated: boolean;
  /** The provider stated a usage that cannot be true. */
  implausible: boolean;
}

/** The charge of a request that costs nothing. */
export const ZERO_CHARGE: Charge = { inputTokens: 0, outputTokens: 0, usd: 0, estimated: false, implausible: false };

/** Computes the upper bound of a request's cost from its size and the limits of its model. */
export function boundCost(price: ModelPrice, request: ReservedRequest): Reservation {
  const { bytes, maxOutputTokens, choices, images = 0, documents = false } = request;
  const textTokens = bytes + MAX_PROVIDER_INPUT_TOKENS;
  const withImagesTokens = Math.min(textTokens + images * price.imageTokens, price.contextTokens);
  const inputTokens = Math.max(textTokens, documents ? price.contextTokens : 0, images > 0 ? withImagesTokens : 0);
  const outputTokens = (maxOutputTokens ?? price.maxOutputTokens) * choices;
  return { usd: price.worstCaseUsd(inputTokens, outputTokens), price, inputTokens, outputTokens };
}

/**
 * Computes the cost of a request from its answer: by the provider's final figures where it stated them. A failure that the provider
 * reported costs what it stated, else nothing. Any other answer without final figures costs the stated input plus the largest possible
 * output, or the reservation where that is less. No request costs more than its reservation at the tier that the answer states. `model`
 * is the name in the request.
 */
export function charge(prices: Prices, protocol: Protocol, model: string, reservation: Reservation, seen: Readonly<ResponseUsage>): Charge {
  const price = servedPrice(prices, protocol, reservation.price, seen.model);
  const factor = tierFactor(protocol, seen.model ?? model, seen);
  const mostUsd = reservation.usd * factor;
  const isComplete = seen.usageFinal || seen.failure !== null;
  const bill = seen.usage === null ? null : priceUsage(prices, protocol, price, seen.usage, { withoutOutput: !isComplete });
  if (bill === null) return seen.failure === null ? { ...ZERO_CHARGE, usd: mostUsd, estimated: true } : ZERO_CHARGE;
  if (!bill.plausible) return implausible(reservation, bill, mostUsd);

  const { inputTokens, outputTokens } = bill;
  if (!isComplete) {
    const outputUsd = price.worstCaseUsd(inputTokens, reservation.outputTokens) - price.worstCaseUsd(inputTokens, 0);
    const usd = Math.min(mostUsd, (bill.usd + outputUsd) * factor);
    return { inputTokens, outputTokens, usd, estimated: true, implausible: false };
  }
  const usd = bill.usd * factor + toolUsd(prices, price, seen);
  // The sum is NaN where a figure is not a count.
  if (!(usd <= mostUsd + ROUNDING_TOLERANCE_USD)) return implausible(reservation, bill, mostUsd);
  return { inputTokens, outputTokens, usd, estimated: !seen.usageFinal, implausible: false };
}

/** An operator's own price always applies; else that of the model in the answer, which can be more exact than the one in the request. */
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
