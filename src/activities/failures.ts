import { activityInfo, log } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

import { codeOf, FAILURES, isFailureCode, ValetkeyError, type FailureCode } from '../contract/errors.ts';

/** An internal error rarely disappears by itself, and the key stays active until the job ends. */
const MAX_INTERNAL_ATTEMPTS = 10;

/**
 * Converts an error to the failure that an activity throws: its type is the code, its message Valetkey's own. Temporal retries the
 * `retryableCodes`. An unknown error is retried some times; its message goes to the log and never into the history.
 */
export function toFailure(error: unknown, retryableCodes: readonly FailureCode[] | 'all'): ApplicationFailure {
  const code = codeOf(error);
  if (code === 'internal') log.error('an unexpected error', { error });
  const message = ValetkeyError.is(error) ? error.message : `${FAILURES.internal.hint} (${safeNameOf(error)})`;
  const isRetried = code === 'internal' ? activityInfo().attempt < MAX_INTERNAL_ATTEMPTS : retryableCodes.includes(code);
  const nonRetryable = retryableCodes !== 'all' && !isRetried;
  return ApplicationFailure.create({ type: code, message, nonRetryable });
}

/** Returns the name and code of an error, but not its message: messages of other libraries can hold secrets. */
function safeNameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && isSafeCode(error.code) ? `${error.name} ${error.code}` : error.name;
}

function isSafeCode(code: unknown): code is string {
  return typeof code === 'string' && (isFailureCode(code) || /^[A-Z0-9_]{1,40}$/.test(code));
}
