import { AsyncResource } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { CompleteAsyncError, Context, log } from '@temporalio/activity';
import { ActivityNotFoundError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';

import { codeOf } from '../contract/errors.ts';
import type { JobRecords } from '../keys/sweep/job-records.ts';
import { decideStop, type StopDecision } from './decide-stop.ts';
import type { StopNotices } from './stop-notices.ts';

export interface StopDeps {
  jobs: JobRecords;
  stops: StopNotices;
}

export interface StopSignals {
  /** The job has cancelled the step, or has closed. */
  cancel: AbortSignal;
  /** This attempt has to end while the work continues: the worker shuts down, or another attempt or run takes over. */
  detach: AbortSignal;
  /** The job has closed without its cleanup. Aborts together with `cancel`. */
  jobClosed: AbortSignal;
  /** Aborts with any of the others. */
  any: AbortSignal;
}

/** The pauses in ms before each check of the record after a notice, which can arrive before the record changes. */
const NOTICE_CHECK_DELAYS_MS = [0, ...Array<number>(20).fill(40), ...Array<number>(8).fill(250), 1000, 2000, 4000];
/** The pauses in ms before each check of the record after Temporal's signal, when Temporal does not answer. */
const SIGNAL_CHECK_DELAYS_MS = [0, 500, 2000];

/**
 * Runs a step of a job with signals that say why it has to stop. They abort after Temporal's signal, which arrives with a heartbeat, or
 * after a notice, which arrives at once; the reason is a CancelledFailure. A CancelledFailure that `work` throws after a cancel ends the step
 * as cancelled, with its details.
 */
export async function withStopSignals<T>(deps: StopDeps, jobId: string, work: (signals: StopSignals) => Promise<T>): Promise<T> {
  const { signals, close } = stopSignals(deps, jobId);
  try {
    return await work(signals);
  } catch (error) {
    const { cancellationSignal, info } = Context.current();
    if (!signals.cancel.aborted || signals.jobClosed.aborted || cancellationSignal.aborted || !(error instanceof CancelledFailure))
      throw error;
    // The SDK accepts a cancellation only after Temporal's own signal, which has not arrived yet, so it is reported to the server directly.
    await reportCancelled(info.taskToken, error.details[0]);
    throw new CompleteAsyncError();
  } finally {
    close();
  }
}

async function reportCancelled(taskToken: Uint8Array, details: unknown): Promise<void> {
  try {
    await Context.current().client.activity.reportCancellation(taskToken, details);
  } catch (error) {
    // An unknown activity means that the workflow does not wait for it any more.
    if (!(error instanceof ActivityNotFoundError)) throw error;
  }
}

function stopSignals({ jobs, stops }: StopDeps, jobId: string): { signals: StopSignals; close: () => void } {
  const context = Context.current();
  const { cancellationSignal, info } = context;
  const cancel = new AbortController();
  const detach = new AbortController();
  const jobClosed = new AbortController();
  const closed = new AbortController();
  const step = { runId: info.workflowExecution?.runId ?? '', activityId: info.activityId };

  const decide = async (delaysMs: readonly number[], isSignalled: boolean): Promise<StopDecision> => {
    for (const delayMs of delaysMs) {
      await sleep(delayMs, undefined, { signal: closed.signal });
      try {
        const decision = decideStop(await jobs.describe(jobId), step, isSignalled);
        if (decision !== 'continue') return decision;
      } catch (error) {
        log.warn('the reason to stop a step cannot be read from Temporal', { jobId, code: codeOf(error) });
      }
    }
    return isSignalled ? 'detach' : 'continue';
  };
  const abortSignals = (decision: StopDecision): void => {
    const reason: unknown = cancellationSignal.reason ?? new CancelledFailure('CANCELLED');
    if (decision === 'job_closed') jobClosed.abort(reason);
    if (decision === 'job_closed' || decision === 'cancel') cancel.abort(reason);
    if (decision === 'detach') detach.abort(reason);
  };
  // Both callbacks run outside of the activity's async context, which `log` and `Context.current` need.
  const onSignal = AsyncResource.bind(async (): Promise<void> => {
    const { cancelRequested = false, notFound = false } = context.cancellationDetails ?? {};
    abortSignals(cancelRequested || notFound ? await decide(SIGNAL_CHECK_DELAYS_MS, true).catch(() => 'detach' as const) : 'detach');
  });
  let isChecking = false;
  const onNotice = AsyncResource.bind(async (): Promise<void> => {
    if (isChecking) return;
    isChecking = true;
    abortSignals(await decide(NOTICE_CHECK_DELAYS_MS, false).catch(() => 'continue' as const));
    isChecking = false;
  });
  const stopListening = stops.listen(jobId, () => void onNotice());
  if (cancellationSignal.aborted) void onSignal();
  else cancellationSignal.addEventListener('abort', () => void onSignal(), { once: true });
  return {
    signals: {
      cancel: cancel.signal,
      detach: detach.signal,
      jobClosed: jobClosed.signal,
      any: AbortSignal.any([cancel.signal, detach.signal, jobClosed.signal]),
    },
    close: () => {
      closed.abort();
      stopListening();
    },
  };
}
