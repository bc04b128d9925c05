import { Runtime } from '@temporalio/worker';

import { codeOf } from '../contract/errors.ts';
import { HOST_BOUND_PROVIDERS } from '../contract/sandbox-provider.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import type { SandboxProvider } from '../sandboxes/sandbox.ts';
import type { Db } from '../store/database.ts';
import { forgetSandbox, sandboxesOn, type BoundSandbox } from '../store/sandboxes.ts';
import { recordWorkerHeartbeat, type WorkerProcess } from '../store/workers.ts';

const EVERY_MS = 2_000;

export interface HostReportsOptions {
  sandboxes: Sandboxes;
  sharedQueue: string;
  /** Is called with each report while the worker drains. */
  leaveHost: () => Promise<void>;
}

/**
 * Reports on record that this worker process is alive, every two seconds, and ends the sandboxes that their jobs have given up while it was
 * unreachable: those of its host, and those that any worker can end. What fails is tried again with the next report. What it returns stops it,
 * and resolves once nothing of it runs.
 */
export async function startHostReports(
  db: Db,
  owner: string,
  worker: WorkerProcess,
  { sandboxes, sharedQueue, leaveHost }: HostReportsOptions,
): Promise<() => Promise<void>> {
  const endAll = async (taskQueue: string, isResponsible: (provider: SandboxProvider) => boolean): Promise<void> => {
    const responsible = Object.values(sandboxes).filter(isResponsible);
    for (const given of await sandboxesOn(db, owner, [taskQueue], { givenUp: true })) await endSandbox(db, responsible, given);
  };
  const ending = oneAtATime('Sandboxes that were given up could not be ended.', async () => {
    await endAll(worker.taskQueue, ({ name }) => HOST_BOUND_PROVIDERS.has(name));
    await endAll(sharedQueue, ({ name }) => !HOST_BOUND_PROVIDERS.has(name));
  });
  const leaving = oneAtATime('Jobs could not be asked to leave this host.', leaveHost);
  const report = async (): Promise<void> => {
    const isDraining = await recordWorkerHeartbeat(db, owner, worker).catch(() => false);
    if (isDraining) leaving.start();
    ending.start();
  };
  await recordWorkerHeartbeat(db, owner, worker);
  let reporting = report();
  const timer = setInterval(() => {
    reporting = reporting.then(report);
  }, EVERY_MS);
  return async () => {
    clearInterval(timer);
    await reporting;
    await Promise.all([ending.ended(), leaving.ended()]);
  };
}

/** Work beside the reports, which wait for none of it: a worker whose reports stay away is taken for one that hangs. */
function oneAtATime(failed: string, work: () => Promise<void>): { start(): void; ended(): Promise<void> } {
  let isRunning = false;
  let running = Promise.resolve();
  return {
    start() {
      if (isRunning) return;
      isRunning = true;
      running = work()
        .catch((error: unknown) => void Runtime.instance().logger.warn(failed, { code: codeOf(error) }))
        .finally(() => (isRunning = false));
    },
    ended: () => running,
  };
}

/** A newer sandbox of the same job, of a run that goes on, is left alone. */
async function endSandbox(db: Db, providers: readonly SandboxProvider[], given: BoundSandbox): Promise<void> {
  for (const provider of providers) {
    if ((await provider.list()).some(({ id, jobId }) => id === given.id && jobId === given.jobId))
      await provider.stop(given.jobId, given.id);
  }
  await forgetSandbox(db, given);
}
