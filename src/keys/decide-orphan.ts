/** What Temporal's own record says of a job: `unknown` when it has none. */
export type JobState = 'running' | 'closed' | 'unknown';

/** A key or a sandbox that an inventory came upon. */
export interface Suspect {
  job: JobState;
  madeAtMs: number;
  /** When an earlier look found it without a job, null: never. */
  sightedAtMs: number | null;
}

export type OrphanDecision =
  | { do: 'keep'; because: 'job_runs' }
  | { do: 'wait'; because: 'just_made' | 'first_sighting' }
  | { do: 'end'; because: 'job_closed' | 'job_unknown' };

/**
 * Whether something that was found has lost its job. What was just made is left alone for `graceMs`, since its job may not be on
 * record everywhere; and one look never suffices: half of that time has to lie between two which find the same. What cannot be known
 * is left alone: then nothing calls this.
 */
export function decideOrphan({ job, madeAtMs, sightedAtMs }: Suspect, nowMs: number, graceMs: number): OrphanDecision {
  if (job === 'running') return { do: 'keep', because: 'job_runs' };
  if (nowMs - madeAtMs < graceMs) return { do: 'wait', because: 'just_made' };
  if (sightedAtMs === null || nowMs - sightedAtMs < graceMs / 2) return { do: 'wait', because: 'first_sighting' };
  return { do: 'end', because: job === 'closed' ? 'job_closed' : 'job_unknown' };
}
