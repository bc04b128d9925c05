import type { WorkflowExecutionInfo } from '@temporalio/client';

import type { JobState, JobSummary } from '../contract/job-summary.ts';
import { parseLabels } from '../contract/labels.ts';
import { readProblems, searchAttributes } from '../contract/search-attributes.ts';
import { isAgentName } from '../contract/spec.ts';

type Execution = Pick<WorkflowExecutionInfo, 'workflowId' | 'taskQueue' | 'typedSearchAttributes' | 'startTime' | 'closeTime' | 'status'>;

/** What Temporal's own record says of a job. */
export function summarise(execution: Execution): JobSummary {
  const { workflowId, taskQueue, typedSearchAttributes: attributes, startTime, closeTime } = execution;
  const agent = attributes.get(searchAttributes.agent);
  return {
    jobId: workflowId,
    taskQueue,
    tenant: attributes.get(searchAttributes.tenant) ?? '',
    agent: isAgentName(agent) ? agent : null,
    labels: parseLabels(attributes.get(searchAttributes.labels) ?? []),
    state: stateOf(execution),
    failureCode: null,
    // Temporal's own is set before there is a key: the ledger knows.
    keyState: null,
    spentUsd: attributes.get(searchAttributes.spendUsd) ?? 0,
    waiting: closeTime == null && attributes.get(searchAttributes.waiting) === true,
    startedAt: startTime.toISOString(),
    endedAt: closeTime?.toISOString() ?? null,
    problems: closeTime == null ? readProblems(attributes) : [],
  };
}

export function stateOf({ status }: Pick<Execution, 'status'>): JobState {
  switch (status.name) {
    case 'COMPLETED':
      return 'completed';
    case 'FAILED':
      return 'failed';
    case 'CANCELLED':
      return 'cancelled';
    case 'TERMINATED':
    case 'TIMED_OUT':
      return 'terminated';
    default:
      return 'running';
  }
}
