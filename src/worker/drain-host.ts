import { setTimeout as sleep } from 'node:timers/promises';

import { required, type Config } from '../config/config.ts';
import { temporalConfig } from '../config/temporal.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { ownerOf } from '../keys/context.ts';
import { openDatabase } from '../store/database.ts';
import { sandboxesOn } from '../store/sandboxes.ts';
import { drainWorkers, hasWorkerBeside } from '../store/workers.ts';
import { hostTaskQueue } from './host-task-queue.ts';

const LOOK_EVERY_MS = 1_000;
/** A worker notices the drain with its next heartbeat; what it has begun by then has a sandbox, or has been given back to Temporal. */
const BEGUN_WORK_MS = 8_000;

/**
 * Has the workers of a host take no more jobs, and its jobs continue on other hosts. Resolves when no job has a sandbox on the host any more.
 * `onJobs` receives the ids of the jobs that still have one, when they change. An abort of the signal ends the wait, and the drain continues.
 * Throws `no_worker` where the host has no worker, or no other host has one; `database_unreachable`, `invalid_config`.
 */
export async function drainHost(config: Config, onJobs: (jobIds: readonly string[]) => void, signal: AbortSignal): Promise<void> {
  const taskQueue = hostTaskQueue(config);
  const owner = ownerOf(temporalConfig().namespace ?? 'default', config.deployment);
  const database = openDatabase(required(config.databaseUrl, 'DATABASE_URL'));
  const { db } = database;
  try {
    if (!(await hasWorkerBeside(db, owner, taskQueue)))
      throw new ValetkeyError('no_worker', `No host other than ${config.host} has a worker: its jobs would wait until there is one.`);
    if ((await drainWorkers(db, owner, taskQueue)) === 0) throw new ValetkeyError('no_worker', `The host ${config.host} has no worker.`);
    const beganMs = Date.now();
    let shown = '';
    for (;;) {
      const driven = await sandboxesOn(db, owner, [taskQueue], { givenUp: false });
      const ending = await sandboxesOn(db, owner, [taskQueue], { givenUp: true });
      const jobIds = driven.map(({ jobId }) => jobId).toSorted();
      if (jobIds.join() !== shown) onJobs(jobIds);
      shown = jobIds.join();
      if (driven.length + ending.length === 0 && Date.now() - beganMs > BEGUN_WORK_MS) return;
      await sleep(LOOK_EVERY_MS, undefined, { signal });
    }
  } finally {
    await database.close();
  }
}
