import type { WorkflowExecutionInfo } from '@temporalio/client';

import type { FailureCode } from '../contract/errors.ts';
import type { KeyState } from '../contract/key.ts';
import type { JobFailure, KeyLife, Outcome } from '../contract/result.ts';
import { readProblems, searchAttributes } from '../contract/search-attributes.ts';
import type { JobProgress, Phase, QuestionSubject } from '../contract/status.ts';

/** `terminated`: Temporal ended the job's workflow without its cleanup. */
export type JobState = 'running' | Outcome | 'terminated';

export interface JobSummary {
  jobId: string;
  tenant: string;
  agent: string;
  state: JobState;
  /** Why it ended so; null where it runs, has completed, or was not settled. */
  failureCode: FailureCode | null;
  /** Of the job's newest key; `revoked`: it was seen refused. Null where none was minted. */
  keyState: KeyState | null;
  /** USD, up to now. */
  spentUsd: number;
  /** Its agent waits for an answer, by Temporal's visibility. */
  waiting: boolean;
  /** ISO 8601. */
  startedAt: string;
  endedAt: string | null;
  /** Why the job is stuck: its workflow task fails again and again, in Temporal's words. Empty: it is not. */
  problems: string[];
}

/** The question that a job waits at, with what it is about; it is denied at `until` (ISO 8601). */
export type WaitingQuestion = NonNullable<JobProgress['question']> & QuestionSubject;

export interface JobStatus extends JobSummary {
  /** Null where no worker answered. */
  phase: Phase | null;
  /** The task queue that the job waits on, where no worker polls it. */
  unattendedQueue: string | null;
  turn: number | null;
  turns: number | null;
  deadline: string | null;
  sandbox: string | null;
  /** What the agent asks leave for and waits; null: nothing. */
  question: WaitingQuestion | null;
  failure: JobFailure | null;
  keys: KeyLife[];
}

type Execution = Pick<WorkflowExecutionInfo, 'workflowId' | 'typedSearchAttributes' | 'startTime' | 'closeTime' | 'status'>;

/** What Temporal's own record says of a job. */
export function summarise(execution: Execution): JobSummary {
  const { workflowId, typedSearchAttributes: attributes, startTime, closeTime } = execution;
  return {
    jobId: workflowId,
    tenant: attributes.get(searchAttributes.tenant) ?? '',
    agent: attributes.get(searchAttributes.agent) ?? '',
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
