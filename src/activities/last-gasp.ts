import { log } from '@temporalio/activity';

import { codeOf } from '../job/errors.ts';
import type { KeyContext } from '../keys/context.ts';
import { endKeysOfJob } from '../keys/end-key.ts';
import type { JobRecords } from '../keys/job-records.ts';
import type { SandboxProvider } from '../sandboxes/sandbox.ts';

export interface LastGaspDeps {
  keys: KeyContext;
  jobs: JobRecords;
}

/**
 * Whether the job of this activity is over although nobody told it to stop. Temporal says the same to an activity whose run was
 * terminated and to one whose run was reset, and a newer run goes on with key and sandbox: so the job's record decides. Where it
 * cannot be read they are left to the sweep.
 */
export async function isJobGone({ jobs }: Pick<LastGaspDeps, 'jobs'>, jobId: string): Promise<boolean> {
  try {
    const record = await jobs.describe(jobId);
    return record === null || record.state === 'closed';
  } catch (error) {
    log.warn('nobody knows whether a job is gone', { jobId, code: codeOf(error) });
    return false;
  }
}

/** Ends the keys and the sandbox of a job that is gone. What fails is left to the sweep. */
export async function lastGasp(
  { keys }: Pick<LastGaspDeps, 'keys'>,
  provider: Pick<SandboxProvider, 'stop'>,
  jobId: string,
): Promise<void> {
  const ends = await Promise.allSettled([endKeysOfJob(keys, jobId, 'terminated'), provider.stop(jobId)]);
  for (const end of ends) if (end.status === 'rejected') log.warn('a job is gone and was not ended whole', { code: codeOf(end.reason) });
}
