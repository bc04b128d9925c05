/** The state of a job in Temporal's own record; `unknown` where Temporal has no record of it. */
export type JobRecordState = 'running' | 'closed' | 'unknown';

/** A key or a sandbox that a sweep found, and that may be orphaned. */
export interface Suspect {
  job: JobRecordState;
  createdAtMs: number;
  /** When an earlier sweep found it orphaned; null where none did. */
  sightedAtMs: number | null;
  /** When its end began; null where it has not. */
  endingAtMs: number | null;
}

export type OrphanDecision =
  | { action: 'keep'; reason: 'job_runs' | 'end_under_way' }
  | { action: 'wait'; reason: 'just_made' | 'first_sighting' }
  | { action: 'end'; reason: 'job_closed' | 'job_unknown' | 'end_begun' };

/**
 * Decides whether a key or a sandbox is orphaned. A new one is kept for `graceMs`, since its job may not be visible everywhere yet. One
 * sighting never suffices: two sightings must be at least half of `graceMs` apart. An end that has begun belongs to its caller for
 * `graceMs`; after that the caller counts as gone, and the sweep takes the end over. Where Temporal gives no answer the caller skips the
 * item and never calls this.
 */
export function decideOrphan({ job, createdAtMs, sightedAtMs, endingAtMs }: Suspect, nowMs: number, graceMs: number): OrphanDecision {
  if (endingAtMs !== null)
    return nowMs - endingAtMs < graceMs ? { action: 'keep', reason: 'end_under_way' } : { action: 'end', reason: 'end_begun' };
  if (job === 'running') return { action: 'keep', reason: 'job_runs' };
  if (nowMs - createdAtMs < graceMs) return { action: 'wait', reason: 'just_made' };
  if (sightedAtMs === null || nowMs - sightedAtMs < graceMs / 2) return { action: 'wait', reason: 'first_sighting' };
  return { action: 'end', reason: job === 'closed' ? 'job_closed' : 'job_unknown' };
}
