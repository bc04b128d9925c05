/** USD by which two sums of the same prices can differ: floating point, and a rounding per request. */
const TOLERANCE_USD = 1e-6;
/** How long after the end of a key its usage counts as complete, whatever the proxy has metered. */
export const COMPLETE_AFTER_MS = 60_000;

export interface SpendReading {
  /** USD of all keys of the ref, by OpenRouter. */
  gatewayUsd: number;
  /** USD by the proxy. */
  meteredUsd: number;
  /** The part of `meteredUsd` that was charged by an estimate: OpenRouter may have charged nothing of it. */
  estimatedUsd: number;
  /** ms since the end of the key began. */
  sinceEndMs: number;
}

export type SpendDecision = { action: 'settle'; reason: 'covers-metered' | 'settling-time-over' } | { action: 'wait' };

/**
 * Decides whether OpenRouter's figure is final. How fresh its `usage` is, is not documented, so it must cover what the proxy knows from
 * final usages. It never does where the proxy's price list is higher than OpenRouter's bill: after a minute the bill counts, and nobody waits forever.
 */
export function decideSpend({ gatewayUsd, meteredUsd, estimatedUsd, sinceEndMs }: SpendReading): SpendDecision {
  if (gatewayUsd + TOLERANCE_USD >= meteredUsd - estimatedUsd) return { action: 'settle', reason: 'covers-metered' };
  if (sinceEndMs > COMPLETE_AFTER_MS) return { action: 'settle', reason: 'settling-time-over' };
  return { action: 'wait' };
}
