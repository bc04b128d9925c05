import type { FailureCode } from '../contract/errors.ts';
import type { Outcome } from '../contract/result.ts';

/** Scripts rely on these numbers. */
const EXIT = {
  unexpected: 1,
  usage: 2,
  failed: 3,
  cancelled: 4,
  deadlineExceeded: 5,
  notFound: 6,
  unreachable: 7,
  inUse: 8,
  interrupted: 130,
} as const;

export const UNEXPECTED_EXIT_CODE = EXIT.unexpected;
export const USAGE_EXIT_CODE = EXIT.usage;
export const FAILED_EXIT_CODE = EXIT.failed;
/** As shells have it for SIGINT. */
export const INTERRUPTED_EXIT_CODE = EXIT.interrupted;

export const EXIT_CODE_HELP = `
Exit codes:
  0    done; "run": the job completed
  1    unexpected error
  2    wrong usage, job or configuration
  3    "run": the job failed; "sweep": not all of it could be done
  4    "run": the job was cancelled
  5    "run": the deadline of the job passed
  6    there is no such job or artifact
  7    Temporal or Postgres does not answer
  8    "keyring prune": an old key is still needed
  130  interrupted; the job goes on
`;

/** Also for an outcome that a newer worker stored: it is no success. */
export function exitCodeOfOutcome(outcome: Outcome | (string & {})): number {
  switch (outcome) {
    case 'completed':
      return 0;
    case 'failed':
      return EXIT.failed;
    case 'cancelled':
      return EXIT.cancelled;
    case 'deadline_exceeded':
      return EXIT.deadlineExceeded;
    default:
      return EXIT.unexpected;
  }
}

const BY_FAILURE: Partial<Record<FailureCode, number>> = {
  invalid_spec: EXIT.usage,
  invalid_config: EXIT.usage,
  job_conflict: EXIT.usage,
  job_closed: EXIT.usage,
  prompt_conflict: EXIT.usage,
  model_unpriced: EXIT.usage,
  no_running_turn: EXIT.usage,
  no_such_question: EXIT.usage,
  no_such_key: EXIT.usage,
  no_such_schedule: EXIT.usage,
  root_key_missing: EXIT.usage,
  terminated: EXIT.failed,
  job_not_found: EXIT.notFound,
  artifact_not_found: EXIT.notFound,
  temporal_unreachable: EXIT.unreachable,
  temporal_missing: EXIT.unreachable,
  database_unreachable: EXIT.unreachable,
  keyring_in_use: EXIT.inUse,
};

export function exitCodeOfFailure(code: FailureCode): number {
  return BY_FAILURE[code] ?? UNEXPECTED_EXIT_CODE;
}
