import type { VendorState } from './vendor.ts';

/**
 * How a request to a remote sandbox failed. `edge`: the vendor answered in the sandbox's place, for example because nothing
 * listens. `token`: a token was refused. `network`: there was no answer.
 */
export type RequestFailure = 'edge' | 'token' | 'network';

export type RequestRetryDecision =
  | { action: 'retry'; afterMs: number }
  | { action: 'fail'; code: 'sandbox_lost' | 'sandbox_provider_unreachable' };

/** A server that still starts, or an edge that does not know the sandbox yet, takes less. Callers try again for a while, too. */
const EDGE_GRACE_MS = 1_500;
/** A connection that breaks on its way is tried again for this long. */
const NETWORK_GRACE_MS = 20_000;
const PAUSE_MS = 250;

/**
 * Decides whether a request is sent again. `state`: null where the vendor's API does not answer either. Sending a request twice is
 * safe: the shim drops repeated messages, and files and scripts are idempotent. A sandbox that the vendor runs is never declared
 * lost because of the network between us.
 */
export function decideRequestRetry(failure: RequestFailure, state: VendorState | null, elapsedMs: number): RequestRetryDecision {
  if (state === 'ended' || state === 'suspended') return { action: 'fail', code: 'sandbox_lost' };
  if (failure === 'network' || state === null) {
    return elapsedMs < NETWORK_GRACE_MS ? { action: 'retry', afterMs: PAUSE_MS } : { action: 'fail', code: 'sandbox_provider_unreachable' };
  }
  return elapsedMs < EDGE_GRACE_MS ? { action: 'retry', afterMs: PAUSE_MS } : { action: 'fail', code: 'sandbox_lost' };
}
