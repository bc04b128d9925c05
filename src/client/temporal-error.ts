import { isGrpcServiceError, WorkflowNotFoundError } from '@temporalio/client';

import { ValetkeyError } from '../job/errors.ts';

/** gRPC status codes of a server that is not there or does not answer. */
const UNREACHABLE = new Set([4, 14]);

/** Waits for a call to Temporal; throws `job_not_found` or `temporal_unreachable` for what they stand for, else the error itself. */
export async function asTemporalError<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw new ValetkeyError('job_not_found', `there is no job ${error.workflowId}`);
    const cause = error instanceof Error && isGrpcServiceError(error.cause) ? error.cause : error;
    const unreachable =
      (isGrpcServiceError(cause) && UNREACHABLE.has(cause.code)) ||
      (error instanceof Error && error.message.startsWith('Failed to connect'));
    if (unreachable) throw new ValetkeyError('temporal_unreachable', 'Temporal does not answer');
    throw error;
  }
}
