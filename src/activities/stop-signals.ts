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
  /** The job wants the step to end, or has ended itself. */
  cancel: AbortSignal;
  /** This attempt has to go while the work goes on: the worker shuts down, or another attempt or run takes over. */
  detach: AbortSignal;
  /** The job has ended without its cleanup. Aborted together with `cancel`. */
  gone: AbortSignal;
  /** Any of them. */
  any: AbortSignal;
}

/** ms between the looks that follow a notice: it can be sooner than the record that it is about. */
const LOOKS_MS = [0, ...Array<number>(20).fill(40), ...Array<number>(8).fill(250), 1000, 2000, 4000];
/** ms between the looks of a step that Temporal has asked to stop, where Temporal does not answer. */
const RETRIES_MS = [0, 500, 2000];

/**
 * Runs a step of a job with signals that say why it is to stop: at Temporal's word, which comes with a heartbeat, or at a notice, which
 * comes at once. All abort with a CancelledFailure. What the work throws once it was cancelled ends the step as cancelled, with the details of a
 * CancelledFailure.
 */
export async function withStopSignals<T>(deps: StopDeps, jobId: string, work: (signals: StopSignals) => Promise<T>): Promise<T> {
  const { signals, close } = stopSignals(deps, jobId);
  try {
    return await work(signals);
  } catch (error) {
    const { cancellationSignal, info } = Context.current();
    if (!signals.cancel.aborted || signals.gone.aborted || cancellationSignal.aborted || !(error instanceof CancelledFailure)) throw error;
    // Temporal's word has not come yet, and the SDK takes a cancel from nobody else.
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
    // Nobody waits for it any more.
    if (!(error instanceof ActivityNotFoundError)) throw error;
  }
}

function stopSignals({ jobs, stops }: StopDeps, jobId: string): { signals: StopSignals; close: () => void } {
  const context = Context.current();
  const { cancellationSignal, info } = context;
  const cancel = new AbortController();
  const detach = new AbortController();
  const gone = new AbortController();
  const closed = new AbortController();
  const step = { runId: info.workflowExecution?.runId ?? '', activityId: info.activityId };

  const decide = async (waitsMs: readonly number[], signalled: boolean): Promise<StopDecision> => {
    for (const waitMs of waitsMs) {
      await sleep(waitMs, undefined, { signal: closed.signal });
      try {
        const decision = decideStop(await jobs.describe(jobId), step, signalled);
        if (decision !== 'go_on') return decision;
      } catch (error) {
        log.warn('nobody knows why a step is to stop', { jobId, code: codeOf(error) });
      }
    }
    return signalled ? 'detach' : 'go_on';
  };
  const stop = (decision: StopDecision): void => {
    const reason: unknown = cancellationSignal.reason ?? new CancelledFailure('CANCELLED');
    if (decision === 'gone') gone.abort(reason);
    if (decision === 'gone' || decision === 'cancel') cancel.abort(reason);
    if (decision === 'detach') detach.abort(reason);
  };
  // The SDK aborts from a place of its own, outside of the activity, and so does who listens to notices.
  const signalled = AsyncResource.bind(async (): Promise<void> => {
    const { cancelRequested = false, notFound = false } = context.cancellationDetails ?? {};
    stop(cancelRequested || notFound ? await decide(RETRIES_MS, true).catch(() => 'detach' as const) : 'detach');
  });
  let looking = false;
  const noticed = AsyncResource.bind(async (): Promise<void> => {
    if (looking) return;
    looking = true;
    stop(await decide(LOOKS_MS, false).catch(() => 'go_on' as const));
    looking = false;
  });
  const stopListening = stops.listen(jobId, () => void noticed());
  if (cancellationSignal.aborted) void signalled();
  else cancellationSignal.addEventListener('abort', () => void signalled(), { once: true });
  return {
    signals: {
      cancel: cancel.signal,
      detach: detach.signal,
      gone: gone.signal,
      any: AbortSignal.any([cancel.signal, detach.signal, gone.signal]),
    },
    close: () => {
      closed.abort();
      stopListening();
    },
  };
}
