/** What Temporal's own record says of a job: `unknown` when it has none. */
export type JobState = 'running' | 'closed' | 'unknown';

/** A key or a sandbox that an inventory came upon. */
export interface Suspect {
  job: JobState;
  createdAtMs: number;
  /** When an earlier look found it without a job, null: never. */
  sightedAtMs: number | null;
  /** When its end began, null: it has not. */
  endingAtMs: number | null;
}

export type OrphanDecision =
  | { action: 'keep'; reason: 'job_runs' | 'end_under_way' }
  | { action: 'wait'; reason: 'just_made' | 'first_sighting' }
  | { action: 'end'; reason: 'job_closed' | 'job_unknown' | 'end_begun' };

/**
 * Whether something that was found has lost its job. What was just made is left alone for `graceMs`, since its job may not be on
 * record everywhere; and one look never suffices: half of that time has to lie between two which find the same. An end
 * that has begun is for whoever began it, for `graceMs`; then nobody is at it any more. What cannot be known is left alone: then nothing
 * calls this.
 */
export function decideOrphan({ job, createdAtMs, sightedAtMs, endingAtMs }: Suspect, nowMs: number, graceMs: number): OrphanDecision {
  if (endingAtMs !== null)
    return nowMs - endingAtMs < graceMs ? { action: 'keep', reason: 'end_under_way' } : { action: 'end', reason: 'end_begun' };
  if (job === 'running') return { action: 'keep', reason: 'job_runs' };
  if (nowMs - createdAtMs < graceMs) return { action: 'wait', reason: 'just_made' };
  if (sightedAtMs === null || nowMs - sightedAtMs < graceMs / 2) return { action: 'wait', reason: 'first_sighting' };
  return { action: 'end', reason: job === 'closed' ? 'job_closed' : 'job_unknown' };
}
