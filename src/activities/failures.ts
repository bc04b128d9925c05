import { activityInfo, log } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

import { codeOf, FAILURES, isFailureCode, ValetkeyError, type FailureCode } from '../contract/errors.ts';

/** A mistake of ours does not mend itself, and until the job ends its key lives. */
const MAX_UNKNOWN_ATTEMPTS = 10;

/**
 * What an activity throws: the code as the failure's type, and a message of ours. `retried` are the codes that Temporal
 * shall try again; an error that Valetkey does not know is tried again some times, its message kept out of the history and
 * in the log.
 */
export function toFailure(error: unknown, retried: readonly FailureCode[] | 'all'): ApplicationFailure {
  const code = codeOf(error);
  if (code === 'internal') log.error('an error that Valetkey does not know', { error });
  const message = ValetkeyError.is(error) ? error.message : `${FAILURES.internal.hint} (${nameOf(error)})`;
  const again = code === 'internal' ? activityInfo().attempt < MAX_UNKNOWN_ATTEMPTS : retried.includes(code);
  const nonRetryable = retried !== 'all' && !again;
  return ApplicationFailure.create({ type: code, message, nonRetryable });
}

/** Name and code say what broke; the message of a foreign error has held secrets elsewhere. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && isPlain(error.code) ? `${error.name} ${error.code}` : error.name;
}

function isPlain(code: unknown): code is string {
  return typeof code === 'string' && (isFailureCode(code) || /^[A-Z0-9_]{1,40}$/.test(code));
}
