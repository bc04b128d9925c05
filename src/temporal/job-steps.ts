import { ActivityNotFoundError, WorkflowNotFoundError, type Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import { ValetkeyError } from '../contract/errors.ts';
import { LEAVE_SANDBOX_SIGNAL, SANDBOX_LOST_SIGNAL, type SandboxSignal } from '../contract/requests.ts';
import { asTemporalError } from './errors.ts';
import { isCancelRequested, isStarted } from './pending-steps.ts';

/** What others than the worker that has a job's step can do about the step. */
export interface JobSteps {
  /**
   * Takes the steps of a job from a worker process that has ended: they are tried again at once, and one that is to end has ended. Idempotent.
   * An unknown job, and a step that has ended meanwhile, resolve. Throws `temporal_unreachable`.
   */
  takeFrom(worker: string, jobId: string): Promise<void>;
  /** Has a job go on without a sandbox. Resolves to false where it has ended. Idempotent. Throws `temporal_unreachable`. */
  giveUp(jobId: string, lost: SandboxSignal): Promise<boolean>;
  /** Has a job continue on another host as soon as nothing is lost by that. An unknown job resolves. Idempotent. Throws `temporal_unreachable`. */
  leave(jobId: string, left: SandboxSignal): Promise<void>;
}

/** Construction does no I/O. */
export function createJobSteps({ workflow, activity }: Pick<Client, 'workflow' | 'activity'>): JobSteps {
  return {
    async takeFrom(worker, jobId) {
      await unlessGone(async () => {
        const { raw, runId } = await asTemporalError(workflow.getHandle(jobId).describe());
        for (const { activityId, state, lastWorkerIdentity } of raw.pendingActivities ?? []) {
          if (lastWorkerIdentity !== worker || activityId == null) continue;
          const step = { workflowId: jobId, runId, activityId };
          const end = isCancelRequested(state)
            ? async () => activity.reportCancellation(step)
            : async () => activity.fail(step, ApplicationFailure.retryable('The worker of this step is gone.', 'worker_gone'));
          if (isStarted(state) || isCancelRequested(state)) await unlessGone(async () => asTemporalError(end()));
        }
      });
    },

    async giveUp(jobId, lost) {
      return unlessGone(async () => asTemporalError(workflow.getHandle(jobId).signal(SANDBOX_LOST_SIGNAL, lost)));
    },

    async leave(jobId, left) {
      await unlessGone(async () => asTemporalError(workflow.getHandle(jobId).signal(LEAVE_SANDBOX_SIGNAL, left)));
    },
  };
}

/** Whether there was something to do it to. */
async function unlessGone(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof ActivityNotFoundError || error instanceof WorkflowNotFoundError) return false;
    if (ValetkeyError.is(error) && error.code === 'job_not_found') return false;
    throw error;
  }
}
