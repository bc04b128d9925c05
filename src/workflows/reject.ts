import { ApplicationFailure } from '@temporalio/workflow';

import type { FailureCode } from '../contract/errors.ts';

/** The failure of a request that is refused: its type is the code that a client gets. */
export function rejection(code: FailureCode, message: string): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message, nonRetryable: true });
}

/** Throws `code` where the request has no object now. */
export function rejectUnless(holds: boolean, code: FailureCode, message: string): void {
  if (!holds) throw rejection(code, message);
}

/** Throws `invalid_spec` where a check of contract/check-requests.ts found something. */
export function rejectMalformed(what: string, problem: string | null): void {
  if (problem !== null) throw rejection('invalid_spec', `${what}: ${problem}`);
}
