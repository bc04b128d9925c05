import { listWorkers } from '../store/workers.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { decideUnattended } from './decide-unattended.ts';
import { describeJob } from './job-handle.ts';

/**
 * The task queue of a running job, where no worker polls it; null where one does, and for a job that has ended.
 * @throws `job_not_found`, `temporal_unreachable`, `database_unreachable`
 */
export async function unattendedQueue(context: ClientContext, jobId: string): Promise<string | null> {
  const { temporal, database, owner } = context;
  const { workflow, workflowService, options } = await temporal.connected();
  const { taskQueue, status } = await describeJob(workflow.getHandle(jobId));
  if (status.name !== 'RUNNING') return null;
  const seen = await listWorkers(database.db, owner);
  if (decideUnattended(taskQueue, seen, []).action === 'wait') return null;
  const { namespace } = options;
  const { pollers } = await asTemporalError(workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue } }));
  const { action } = decideUnattended(
    taskQueue,
    seen,
    (pollers ?? []).flatMap(({ identity }) => identity ?? []),
  );
  return action === 'warn' ? taskQueue : null;
}
