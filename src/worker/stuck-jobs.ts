import type { WorkflowClient } from '@temporalio/client';
import type { Logger } from '@temporalio/worker';

import { readProblems, reportedProblems } from '../contract/search-attributes.ts';
import { JOB_WORKFLOW } from '../contract/status.ts';

const EVERY_MS = 60_000;
const LOOK_TIMEOUT_MS = 5_000;
/** Jobs that are named in the log, and counted: where there are more it is the same fault. */
const MAX_JOBS = 100;

export interface StuckJobsOptions {
  taskQueue: string;
  /** Receives the count of each look. */
  onCount: (jobs: number) => void;
  logger: Pick<Logger, 'warn'>;
  everyMs?: number;
}

/**
 * Looks, now and every minute, for jobs of a task queue whose workflow task fails again and again: such a job does nothing any more, not
 * even its cleanup, and Temporal marks it after five failures. Each is logged once. By visibility, one query each time, which Temporal does
 * not bill. What it returns stops it, and resolves once nothing of it runs.
 */
export function watchStuckJobs(workflow: WorkflowClient, options: StuckJobsOptions): () => Promise<void> {
  const { taskQueue, onCount, logger, everyMs = EVERY_MS } = options;
  const query = [
    `WorkflowType = '${JOB_WORKFLOW}'`,
    `TaskQueue = '${taskQueue}'`,
    `ExecutionStatus = 'Running'`,
    `${reportedProblems.name} IS NOT NULL`,
  ].join(' AND ');
  let known = new Set<string>();
  const look = async (): Promise<void> => {
    const found = new Set<string>();
    try {
      await workflow.withDeadline(Date.now() + LOOK_TIMEOUT_MS, async () => {
        for await (const { workflowId: jobId, typedSearchAttributes } of workflow.list({ query, pageSize: MAX_JOBS })) {
          found.add(jobId);
          if (!known.has(jobId)) {
            const problems = readProblems(typedSearchAttributes).join(', ');
            logger.warn('A job is stuck: its workflow task fails again and again. Run the build that it began with, or reset it.', {
              jobId,
              problems,
            });
          }
          if (found.size === MAX_JOBS) break;
        }
      });
    } catch {
      // A Temporal before 1.30 has no such attribute, and one that is unreachable shows elsewhere.
      return;
    }
    known = found;
    onCount(found.size);
  };
  let looking = look();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, everyMs);
  return async () => {
    clearInterval(timer);
    await looking;
  };
}
