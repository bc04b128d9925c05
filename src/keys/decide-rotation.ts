import type { Overlap } from '../contract/key.ts';

export type RotationDecision = { action: 'wait' } | { action: 'end_old'; reason: 'new_used' | 'old_unused' | 'overdue' };

/** An agent that keeps using the older key gets so long, until it has to notice that the key is revoked. */
const OVERDUE_MS = 5 * 60_000;

/**
 * Whether the older key can be ended without loss: no request runs with it, and the agent has taken up the newer one, or has not used
 * the older one for `graceMs`. An agent that goes on with a key in its memory reads the file again once it is refused; so after a
 * while the first moment without a request does.
 */
export function decideRotation({ isNewUsed, oldRequests, sinceBoundMs, sinceOldUsedMs }: Overlap, graceMs: number): RotationDecision {
  if (oldRequests > 0) return { action: 'wait' };
  if (isNewUsed) return { action: 'end_old', reason: 'new_used' };
  if (Math.min(sinceBoundMs, sinceOldUsedMs ?? Infinity) >= graceMs) return { action: 'end_old', reason: 'old_unused' };
  return sinceBoundMs >= OVERDUE_MS ? { action: 'end_old', reason: 'overdue' } : { action: 'wait' };
}
