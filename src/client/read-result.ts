import { setTimeout as sleep } from 'node:timers/promises';

import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobResult } from '../contract/result.ts';
import { readResult, readSettlingRun } from '../store/settlements.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { describeJob } from './job-handle.ts';

/** A workflow closes within moments of its settlement. */
const FIRST_LOOK_MS = 2_000;
const LOOK_EVERY_MS = 5_000;

/**
 * Waits for the end of a job: for its workflow to close, or for its settlement where the workflow cannot close. The result is the stored
 * one. `stop` ends the wait.
 * @throws `job_not_found`, `terminated`, `temporal_unreachable`, `database_unreachable`
 */
export async function waitForResult(context: ClientContext, handle: WorkflowHandle, stop: AbortSignal): Promise<JobResult> {
  const { workflowId: jobId } = handle;
  await describeJob(handle);
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, stop]);
  try {
    await Promise.race([isClosed(context, handle, signal), isSettled(context, handle, signal)]);
  } finally {
    over.abort();
  }
  const result = await readResult(context.database.db, jobId);
  if (result === null) throw new ValetkeyError('terminated', `The job ${jobId} ended without a settlement.`);
  return result;
}

/** How it closed says less than what it stored. */
async function isClosed({ temporal }: ClientContext, handle: WorkflowHandle, over: AbortSignal): Promise<void> {
  const { connection } = await temporal.connected();
  try {
    await asTemporalError(connection.withAbortSignal(over, () => handle.result()));
  } catch (error) {
    if (!over.aborted && !(error instanceof WorkflowFailedError)) throw error;
  }
}

/** A settlement of another run is older than a reset: the job goes on. */
async function isSettled({ database: { db } }: ClientContext, handle: WorkflowHandle, over: AbortSignal): Promise<void> {
  for (let waitMs = FIRST_LOOK_MS; ; waitMs = LOOK_EVERY_MS) {
    await sleep(waitMs, undefined, { signal: over }).catch(() => undefined);
    if (over.aborted) return;
    // A Postgres that is unreachable is asked again; where it stays so the wait for the close fails.
    const run = await readSettlingRun(db, handle.workflowId).catch(() => null);
    if (run === null || run === '') continue;
    const job = await handle.describe().catch(() => null);
    if (job?.runId === run) return;
  }
}
