import { Runtime } from '@temporalio/worker';

import { codeOf } from '../contract/errors.ts';
import { decideLost, addScan, NO_QUIET_TIMES } from '../keys/sweep/decide-lost.ts';
import { sweepClosedJobs, type SweepContext } from '../keys/sweep/sweep.ts';
import { giveUpSandboxes, sandboxesOn } from '../store/sandboxes.ts';
import { deleteStaleRows, listWorkers } from '../store/workers.ts';
import type { JobSteps } from '../temporal/job-steps.ts';
import type { Lock } from './lock.ts';
import { withEach } from './with-each.ts';

const EVERY_MS = 2_000;
/** A look at closed jobs is about those of the last ten minutes: what it misses in them, the inventory finds. */
const CLOSED_WITHIN_MS = 10 * 60_000;

const TAKE_AGAIN_MS = 6_000;
/** Long enough for what a worker that hangs was sent to be known to Temporal. */
const TAKE_UNTIL_MS = 60_000;

export interface WatchDeps {
  context: Omit<SweepContext, 'dryRun'>;
  steps: JobSteps;
  /** Who has it watches. */
  lock: Lock;
  /** ms between two looks at the jobs that closed. */
  closedJobsMs: number;
  /** The task queue with which sandboxes are noted that any worker can drive. */
  sharedQueue: string;
}

/**
 * Watches over an installation from the worker that has the lock, at no cost in Temporal's actions: ends the keys of jobs that closed without
 * their cleanup, takes the steps of workers that have ended, and tells the jobs whose host is gone. What fails is logged, and tried again with
 * the next look. What it returns stops it, and resolves once nothing of it runs.
 */
export function startWatch({ context, steps, lock, closedJobsMs, sharedQueue }: WatchDeps): () => Promise<void> {
  const { keys } = context;
  const { db, owner } = keys;
  let quiet = NO_QUIET_TIMES;
  /** Workers whose steps were taken, and when: by a process that hangs a step can be begun still, from what had reached it before. */
  const taken = new Map<string, { firstMs: number; lastMs: number }>();
  let closedJobsAtMs = Date.now();

  const watchWorkers = async (): Promise<void> => {
    const seen = await listWorkers(db, owner);
    quiet = addScan(quiet, seen, Date.now());
    const { lostWorkers, lostHosts } = decideLost(quiet, seen);
    const lostIds = new Set(lostWorkers.map(({ id }) => id));
    for (const id of taken.keys()) if (!lostIds.has(id)) taken.delete(id);
    for (const worker of lostWorkers) {
      const nowMs = Date.now();
      const { firstMs, lastMs } = taken.get(worker.id) ?? { firstMs: nowMs, lastMs: 0 };
      if (nowMs - lastMs < TAKE_AGAIN_MS || nowMs - firstMs > TAKE_UNTIL_MS) continue;
      // Which worker drives a sandbox that any can is unknown: its job is asked.
      const held = await sandboxesOn(db, owner, [worker.taskQueue, sharedQueue], { givenUp: false });
      await withEach(held, async ({ jobId }) => steps.takeFrom(worker.id, jobId));
      taken.set(worker.id, { firstMs, lastMs: nowMs });
    }
    await withEach(await sandboxesOn(db, owner, lostHosts, { givenUp: false }), async ({ jobId, id }) => {
      await steps.giveUp(jobId, { sandbox: id });
      await giveUpSandboxes(db, { jobId, id });
    });
  };
  const watchClosedJobs = async (): Promise<void> => {
    if (Date.now() - closedJobsAtMs < closedJobsMs) return;
    closedJobsAtMs = Date.now();
    keys.metrics.recordSweep(await sweepClosedJobs({ ...context, dryRun: false }, CLOSED_WITHIN_MS));
  };
  const watch = async (): Promise<void> => {
    if (!(await lock.isHeld())) {
      quiet = NO_QUIET_TIMES;
      return;
    }
    const results = await Promise.allSettled([watchWorkers(), watchClosedJobs(), deleteStaleRows(db, owner)]);
    for (const result of results)
      if (result.status === 'rejected')
        Runtime.instance().logger.warn('A look at workers and closed jobs failed.', { code: codeOf(result.reason) });
  };
  let isWatching = false;
  let watching = Promise.resolve();
  const timer = setInterval(
    () => {
      if (isWatching) return;
      isWatching = true;
      watching = watch().finally(() => (isWatching = false));
    },
    Math.min(EVERY_MS, closedJobsMs),
  );
  return async () => {
    clearInterval(timer);
    await watching;
  };
}
