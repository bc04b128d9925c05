import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';

import { FAILURES, isFailureCode } from '../../contract/errors.ts';
import type { JobFailure, Outcome } from '../../contract/result.ts';

/** Of a failure: it goes from step to step, into the history each time. */
const MAX_MESSAGE_CHARS = 2000;

export interface Ending {
  outcome: Outcome;
  failure: JobFailure | null;
}

/** What had requested the end of the job before its work was done; null: nothing. */
export type StopRequest = 'cancelled' | 'deadline_exceeded' | null;

/**
 * Decides how a job ended from what its work threw. An activity that was cancelled and whose worker had crashed runs into a
 * time-out instead of a cancellation.
 */
export function decideOutcome(error: unknown, request: StopRequest): Ending {
  const stopped = isCancellation(error) || isTimeout(error);
  if (request !== null && stopped) return { outcome: request, failure: { code: request, message: FAILURES[request].hint } };
  return { outcome: 'failed', failure: failureOf(error) };
}

/** Whether the sandbox of the work is gone, or its host. */
export function isSandboxLost(error: unknown): boolean {
  return failureOf(error).code === 'sandbox_lost';
}

function isTimeout(error: unknown): boolean {
  return error instanceof ActivityFailure && error.cause instanceof TimeoutFailure;
}

/** The innermost failure that bears a code of ours: a time-out carries the last attempt's failure as its cause. */
function failureOf(error: unknown): JobFailure {
  if (error instanceof ApplicationFailure && isFailureCode(error.type))
    return { code: error.type, message: error.message.slice(0, MAX_MESSAGE_CHARS) };
  if ((error instanceof ActivityFailure || error instanceof TimeoutFailure) && error.cause !== undefined) return failureOf(error.cause);
  if (error instanceof TimeoutFailure) return { code: 'internal', message: 'a step did not end in time, or no worker took it' };
  return { code: 'internal', message: FAILURES.internal.hint };
}
