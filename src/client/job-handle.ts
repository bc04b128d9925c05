import type { WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobState } from '../contract/job-summary.ts';
import { JOB_WORKFLOW } from '../contract/status.ts';
import { keyLives } from '../store/key-usage.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { stateOf } from './job-state.ts';
import { requireJob } from './scope.ts';

/**
 * Connects to Temporal. Whether the job exists is checked for a client of one tenant only.
 * @throws `invalid_spec`, `job_not_found`, `temporal_unreachable`, `database_unreachable`
 */
export async function handleOf(context: ClientContext, jobId: string): Promise<WorkflowHandle> {
  const id = await requireJob(context, jobId);
  const { workflow } = await context.temporal.connected();
  return workflow.getHandle(id);
}

/**
 * Reads Temporal's record of a job. A workflow of another kind is no job: others share the namespace.
 * @throws `job_not_found`, `temporal_unreachable`
 */
export async function describeJob(handle: WorkflowHandle): Promise<WorkflowExecutionDescription> {
  const record = await asTemporalError(handle.describe());
  if (record.type !== JOB_WORKFLOW) throw new ValetkeyError('job_not_found', `There is no job ${handle.workflowId}.`);
  return record;
}

/** Reads the state of a job from Temporal. @throws `invalid_spec`, `job_not_found`, `temporal_unreachable` */
export async function readState(context: ClientContext, jobId: string): Promise<JobState> {
  return stateOf(await describeJob(await handleOf(context, jobId)));
}

/**
 * Whether a job has ended. Temporal forgets a job after its retention; the ledger never does.
 * @throws `job_not_found` for a job that neither of them knows, `temporal_unreachable`, `database_unreachable`
 */
export async function hasEnded(context: ClientContext, jobId: string): Promise<boolean> {
  try {
    return (await readState(context, jobId)) !== 'running';
  } catch (error) {
    if (!ValetkeyError.is(error) || error.code !== 'job_not_found') throw error;
    if ((await keyLives(context.database.db, jobId)).length > 0) return true;
    throw error;
  }
}
