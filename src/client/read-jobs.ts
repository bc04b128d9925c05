import type { WorkflowHandle } from '@temporalio/client';

import type { JobStatus, JobSummary } from '../contract/job-summary.ts';
import { STATUS_QUERY, type JobProgress } from '../contract/status.ts';
import { keyLives } from '../store/key-usage.ts';
import { jobKeys } from '../store/keys.ts';
import { readQuestionSubject } from '../store/questions.ts';
import { readOutcomes, readResult } from '../store/settlements.ts';
import type { ClientContext } from './context.ts';
import { describeJob } from './job-handle.ts';
import { summarise } from './job-state.ts';
import { unattendedQueue } from './unattended-queue.ts';

const QUERY_TIMEOUT_MS = 5_000;

/** Reads the status of a job. Throws `job_not_found`, `temporal_unreachable`, `database_unreachable`. */
export async function readStatus(context: ClientContext, handle: WorkflowHandle): Promise<JobStatus> {
  const { db } = context.database;
  const recorded = summarise(await describeJob(handle));
  const { jobId } = recorded;
  const [result, keys, [summary = recorded]] = await Promise.all([
    readResult(db, jobId),
    keyLives(db, jobId),
    withLedger(context, [recorded]),
  ]);
  const isRunning = summary.state === 'running';
  const unattended = isRunning ? await unattendedQueue(context, jobId) : null;
  const progress = isRunning && unattended === null ? await askProgress(context, handle) : null;
  const asked = progress?.question ?? null;
  const question = asked === null ? null : { ...asked, ...(await readQuestionSubject(db, jobId, asked.id)) };
  return {
    ...summary,
    phase: isRunning ? (progress?.phase ?? null) : 'ended',
    unattendedQueue: unattended,
    turn: progress?.turn ?? result?.turns.length ?? null,
    turns: progress?.turns ?? null,
    deadline: progress?.deadline ?? null,
    sandbox: progress?.sandbox ?? null,
    question,
    failure: isRunning ? null : (result?.failure ?? null),
    push: isRunning ? null : (result?.push ?? null),
    keys,
  };
}

/** Adds what the store knows: Temporal knows that a job runs; what its keys are and have spent, and how it ended, is in the store. */
export async function withLedger({ database: { db } }: ClientContext, jobs: JobSummary[]): Promise<JobSummary[]> {
  const ids = jobs.map(({ jobId }) => jobId);
  const [keys, outcomes] = await Promise.all([jobKeys(db, ids), readOutcomes(db, ids)]);
  return jobs.map((job) => {
    const key = keys.get(job.jobId);
    const ended = job.state === 'running' ? undefined : outcomes.get(job.jobId);
    // The newest run of a job may have begun after its first key.
    const startedAt = key !== undefined && key.since < job.startedAt ? key.since : job.startedAt;
    return {
      ...job,
      startedAt,
      state: ended?.outcome ?? job.state,
      failureCode: ended?.code ?? null,
      keyState: key?.state ?? null,
      spentUsd: key?.usd ?? job.spentUsd,
    };
  });
}

/** Null where no worker is there to answer. */
async function askProgress({ temporal }: ClientContext, handle: WorkflowHandle): Promise<JobProgress | null> {
  const { connection } = await temporal.connected();
  const answer = connection.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () => handle.query<JobProgress>(STATUS_QUERY));
  return answer.catch(() => null);
}
