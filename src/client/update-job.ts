import type { JobUpdates } from '../contract/requests.ts';
import { asUpdateError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { handleOf, readState } from './job-handle.ts';

const UPDATE_TIMEOUT_MS = 15_000;

type Request<Name extends keyof JobUpdates> = JobUpdates[Name]['request'];
type Response<Name extends keyof JobUpdates> = JobUpdates[Name]['response'];

/**
 * Sends an update to the workflow of a job, and resolves to its answer.
 * @throws the code with which the workflow refuses it; `job_closed`, `job_not_found`, `no_worker` after 15 s, `temporal_unreachable`
 */
export async function updateJob<Name extends keyof JobUpdates>(
  context: ClientContext,
  jobId: string,
  name: Name,
  request: Request<Name>,
): Promise<Response<Name>> {
  const handle = await handleOf(context, jobId);
  const { connection } = await context.temporal.connected();
  const update = connection.withDeadline(Date.now() + UPDATE_TIMEOUT_MS, () =>
    handle.executeUpdate<Response<Name>, [Request<Name>]>(name, { args: [request] }),
  );
  return asUpdateError(update, jobId, () => readState(context, jobId));
}
