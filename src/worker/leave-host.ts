import type { Db } from '../store/database.ts';
import { sandboxesOn } from '../store/sandboxes.ts';
import type { JobSteps } from '../temporal/job-steps.ts';
import { withEach } from './with-each.ts';

export interface LeaveHostOptions {
  db: Db;
  owner: string;
  /** Of the host. */
  taskQueue: string;
  steps: Pick<JobSteps, 'leave'>;
  /** Takes no more of the work that any host can do. Idempotent. */
  stopTaking: () => void;
}

/**
 * Returns what a worker does again and again while it drains: each job with a sandbox on this host is asked once to continue on another. Throws
 * `database_unreachable`, `temporal_unreachable`; the next call continues.
 */
export function createLeaveHost({ db, owner, taskQueue, steps, stopTaking }: LeaveHostOptions): () => Promise<void> {
  const asked = new Set<string>();
  return async () => {
    stopTaking();
    const driven = await sandboxesOn(db, owner, [taskQueue], { givenUp: false });
    await withEach(
      driven.filter(({ id }) => !asked.has(id)),
      async ({ jobId, id }) => {
        await steps.leave(jobId, { sandbox: id });
        asked.add(id);
      },
    );
  };
}
