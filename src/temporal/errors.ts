import {
  isGrpcServiceError,
  NamespaceNotFoundError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';

import { isFailureCode, ValetkeyError } from '../contract/errors.ts';
import { searchAttributes } from '../contract/search-attributes.ts';

/** gRPC status codes of a server that is not there or does not answer. */
const UNREACHABLE = new Set([4, 14]);
const INVALID_ARGUMENT = 3;

/**
 * Waits for a call to Temporal. Throws `job_not_found`, `temporal_unreachable` or `invalid_config` for what they stand for,
 * else the error itself.
 */
export async function asTemporalError<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw translate(error);
  }
}

/**
 * Waits for an update of a job's workflow. Throws what the workflow or a step of it refused it with, `job_closed` where the job has ended,
 * `no_worker` where Temporal answers and the job does not; `stateNow` says whether it is `running`, else like `asTemporalError`.
 */
export async function asUpdateError<T>(update: Promise<T>, jobId: string, stateNow: () => Promise<string>): Promise<T> {
  try {
    return await update;
  } catch (error) {
    const failed = error instanceof WorkflowUpdateFailedError ? error.cause : undefined;
    const refused = failed instanceof ActivityFailure ? failed.cause : failed;
    if (refused instanceof ApplicationFailure && isFailureCode(refused.type)) throw new ValetkeyError(refused.type, refused.message);
    const translated = translate(error);
    // Which of the two sides ends the call at its deadline differs, and so does the error.
    const isLate =
      error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
      (ValetkeyError.is(translated) && translated.code === 'temporal_unreachable');
    // Temporal says of one that has ended that it is not there.
    if (refused === undefined && !isLate && !(error instanceof WorkflowNotFoundError)) throw translated;
    if ((await stateNow()) !== 'running') throw new ValetkeyError('job_closed', `The job ${jobId} has ended.`);
    throw isLate ? new ValetkeyError('no_worker', `No worker accepted the request for the job ${jobId}.`) : translated;
  }
}

function translate(error: unknown): unknown {
  if (error instanceof WorkflowNotFoundError) return new ValetkeyError('job_not_found', `There is no job ${error.workflowId}.`);
  if (error instanceof NamespaceNotFoundError)
    return new ValetkeyError('invalid_config', `TEMPORAL_NAMESPACE: Temporal has no namespace ${error.namespace}`);
  const cause = error instanceof Error && isGrpcServiceError(error.cause) ? error.cause : error;
  const code: number | null = isGrpcServiceError(cause) ? cause.code : null;
  const noConnection = error instanceof Error && error.message.startsWith('Failed to connect');
  if (noConnection || (code !== null && UNREACHABLE.has(code)))
    return new ValetkeyError('temporal_unreachable', 'Temporal does not answer.');
  if (code === INVALID_ARGUMENT)
    return new ValetkeyError('invalid_config', `Temporal refused the request: does its namespace know ${NAMES}?`);
  return error;
}

const NAMES = Object.values(searchAttributes)
  .map(({ name, type }) => `${name} (${type})`)
  .join(', ');
