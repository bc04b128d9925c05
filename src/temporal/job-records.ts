import type { Client } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import { ROTATE_UPDATE } from '../contract/requests.ts';
import { searchAttributes } from '../contract/search-attributes.ts';
import { JOB_WORKFLOW } from '../contract/status.ts';
import type { JobRecords } from '../keys/sweep/job-records.ts';
import { asTemporalError, asUpdateError } from './errors.ts';
import { isCancelRequested } from './pending-steps.ts';

const PAGE = 200;
/** A status that this version does not know is taken for one that goes on. */
const CLOSED = new Set<string>(['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT']);

/** Temporal's record of the jobs of one task queue. Construction does no I/O. */
export function createJobRecords({ workflow }: Pick<Client, 'workflow'>, taskQueue: string): JobRecords {
  const records: JobRecords = {
    async describe(jobId) {
      try {
        const { status, runId, closeTime = null, raw } = await asTemporalError(workflow.getHandle(jobId).describe());
        const cancelled = (raw.pendingActivities ?? []).filter(({ state }) => isCancelRequested(state));
        return {
          state: CLOSED.has(status.name) ? 'closed' : 'running',
          closedAt: closeTime,
          runId,
          cancelledActivities: cancelled.map(({ activityId }) => activityId ?? ''),
        };
      } catch (error) {
        if (ValetkeyError.is(error) && error.code === 'job_not_found') return null;
        throw error;
      }
    },

    async *listClosedWithKeys(withinMs) {
      const since = new Date(Date.now() - withinMs).toISOString();
      const query = [
        `WorkflowType = '${JOB_WORKFLOW}'`,
        `TaskQueue = '${taskQueue}'`,
        `ExecutionStatus != 'Running'`,
        // Its job goes on in a newer run.
        `ExecutionStatus != 'ContinuedAsNew'`,
        `${searchAttributes.keyState.name} != 'revoked'`,
        `CloseTime > '${since}'`,
      ].join(' AND ');
      const closed = workflow.list({ query, pageSize: PAGE })[Symbol.asyncIterator]();
      for (let next = await asTemporalError(closed.next()); next.done !== true; next = await asTemporalError(closed.next()))
        yield next.value.workflowId;
    },

    async rotate(jobId) {
      const update = workflow.getHandle(jobId).startUpdate(ROTATE_UPDATE, { waitForStage: 'ACCEPTED' });
      await asUpdateError(update, jobId, async () => (await records.describe(jobId))?.state ?? 'closed');
    },
  };
  return records;
}
