import type { StopNotices } from '../activities/stop-notices.ts';
import type { SweepContext } from '../keys/sweep/sweep.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { Database } from '../store/database.ts';
import { STOP_CHANNEL } from '../store/stop-notices.ts';
import { subscribe } from '../store/subscription.ts';
import type { WorkerProcess } from '../store/workers.ts';
import type { JobSteps } from '../temporal/job-steps.ts';
import { startHostReports } from './host-reports.ts';
import { createLeaveHost } from './leave-host.ts';
import { Lock } from './lock.ts';
import { startWatch } from './watch.ts';

export interface WatchingOptions {
  database: Database;
  worker: WorkerProcess;
  sandboxes: Sandboxes;
  context: Omit<SweepContext, 'dryRun'>;
  steps: JobSteps;
  stops: StopNotices;
  /** ms between two looks at the jobs that closed. */
  closedJobsMs: number;
  /** The task queue of what any worker can do. */
  sharedQueue: string;
  /** Takes no more of what any worker can do, since this one drains. Idempotent. */
  stopTaking: () => void;
}

/**
 * Starts what a worker does beside Temporal's tasks, through Postgres: it reports that it is alive, receives notices of steps that are to stop, and watches
 * over the installation when it is its turn. What it returns stops all that. Throws `database_unreachable`.
 */
export async function startWatching(options: WatchingOptions): Promise<() => Promise<void>> {
  const { database, worker, sandboxes, context, steps, stops, closedJobsMs, sharedQueue, stopTaking } = options;
  const { owner } = context.keys;
  const lock = new Lock(`valetkey watch ${owner}`);
  const stop = new AbortController();
  const catchUp: Parameters<typeof subscribe>[1]['catchUp'] = async (connection) => {
    await lock.use(connection);
    stops.notifyAll();
  };
  await subscribe(database, { channel: STOP_CHANNEL, onNotice: (jobId) => stops.notify(jobId), catchUp, stop: stop.signal });
  const leaveHost = createLeaveHost({ db: database.db, owner, taskQueue: worker.taskQueue, steps, stopTaking });
  const stopReports = await startHostReports(database.db, owner, worker, { sandboxes, sharedQueue, leaveHost });
  const stopWatch = startWatch({ context, steps, lock, closedJobsMs, sharedQueue });
  return async () => {
    await Promise.all([stopReports(), stopWatch()]);
    stop.abort();
  };
}
