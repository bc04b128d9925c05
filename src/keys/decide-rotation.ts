import type { Overlap } from '../contract/key.ts';

export type RotationDecision = { action: 'wait' } | { action: 'end_old'; reason: 'new_used' | 'old_unused' | 'overdue' };

/** An agent may keep using the older key for this long; then the key is ended anyway. */
const OVERDUE_MS = 5 * 60_000;

/**
 * Decides whether the older key can be ended without loss: no request runs with it, and the agent uses the newer one or has not used
 * the older one for `graceMs`. An agent that keeps a key in memory reads the file again once the key is refused, so an overdue key is
 * ended at the first moment without a running request.
 */
export function decideRotation({ isNewUsed, oldRequests, sinceBoundMs, sinceOldUsedMs }: Overlap, graceMs: number): RotationDecision {
  if (oldRequests > 0) return { action: 'wait' };
  if (isNewUsed) return { action: 'end_old', reason: 'new_used' };
  if (Math.min(sinceBoundMs, sinceOldUsedMs ?? Infinity) >= graceMs) return { action: 'end_old', reason: 'old_unused' };
  return sinceBoundMs >= OVERDUE_MS ? { action: 'end_old', reason: 'overdue' } : { action: 'wait' };
}
