/** Temporal's record of a job's newest run. */
export interface JobRecord {
  state: 'running' | 'closed';
  /** Null while it runs. */
  closedAt: Date | null;
  /** A reset closes one run and starts the next. */
  runId: string;
  /** Ids of the activities whose cancellation the workflow has requested and waits for. */
  cancelledActivities: readonly string[];
}

/** Access to Temporal's record of the jobs, for the sweep and the end of keys. */
export interface JobRecords {
  /** Reads a job's own record, not visibility, which lags; null for an unknown job. Throws `temporal_unreachable`. */
  describe(jobId: string): Promise<JobRecord | null>;
  /**
   * Lists the ids of jobs that closed in the last `withinMs` and whose search attribute says that their key is not `revoked`, the newest
   * first. Visibility lags, so the list is only a hint. Throws `temporal_unreachable`.
   */
  listClosedWithKeys(withinMs: number): AsyncIterable<string>;
  /** Requests a rotation of a running job's key; resolves when the job has accepted it. Throws `no_worker`, `no_such_key`, `job_closed`. */
  rotate(jobId: string): Promise<void>;
}
