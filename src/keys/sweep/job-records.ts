/** What Temporal says of one job, whichever of its runs is the newest. */
export interface JobRecord {
  state: 'running' | 'closed';
  /** Null while it runs. */
  closedAt: Date | null;
  /** A reset closes one run and begins the next. */
  runId: string;
  /** Ids of the activities that the workflow waits for, and wants to end. */
  cancelledSteps: readonly string[];
}

/** Temporal's record of the jobs, as the end of keys needs it. */
export interface JobRecords {
  /** By its own record, not by visibility, which lags; null for a job that it does not know. Throws `temporal_unreachable`. */
  describe(jobId: string): Promise<JobRecord | null>;
  /**
   * Jobs that ended in the last `withinMs` and whose key, by their search attribute, is not `revoked`, the newest first; by visibility,
   * so a hint only. Throws `temporal_unreachable`.
   */
  closedWithKeys(withinMs: number): AsyncIterable<string>;
  /** Asks a job that runs for the rotation of its key; resolves when it has taken it up. Throws `no_worker`, `nothing_to_do`, `job_closed`. */
  rotate(jobId: string): Promise<void>;
}
