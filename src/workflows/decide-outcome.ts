import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';

import { FAILURES, isFailureCode } from '../job/errors.ts';
import type { JobFailure, Outcome } from '../job/result.ts';

export interface Ending {
  outcome: Outcome;
  failure: JobFailure | null;
}

/** Decides how a job ended from what its work threw. A cancellation is the deadline's where the deadline had passed. */
export function decideOutcome(error: unknown, { deadlinePassed }: { deadlinePassed: boolean }): Ending {
  if (isCancellation(error)) return deadlinePassed ? ending('deadline_exceeded') : ending('cancelled');
  return { outcome: 'failed', failure: failureOf(error) };
}

function ending(outcome: 'cancelled' | 'deadline_exceeded'): Ending {
  return { outcome, failure: { code: outcome, message: FAILURES[outcome].hint } };
}

/** The innermost failure that bears a code of ours: a time-out carries the last attempt's failure as its cause. */
function failureOf(error: unknown): JobFailure {
  if (error instanceof ApplicationFailure && isFailureCode(error.type)) return { code: error.type, message: error.message };
  if ((error instanceof ActivityFailure || error instanceof TimeoutFailure) && error.cause !== undefined) return failureOf(error.cause);
  if (error instanceof TimeoutFailure) return { code: 'internal', message: 'a step did not end in time, or no worker took it' };
  return { code: 'internal', message: FAILURES.internal.hint };
}
