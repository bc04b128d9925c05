import type { WorkflowHandle } from '@temporalio/client';

import { searchAttributes } from '../contract/search-attributes.ts';
import { JOB_WORKFLOW, STATUS_QUERY, type JobProgress } from '../contract/status.ts';
import { jobKeys, keyLives } from '../store/keys.ts';
import { readQuestionSubject } from '../store/questions.ts';
import { readOutcomes, readResult } from '../store/settlements.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { summarise, type JobStatus, type JobSummary } from './job-state.ts';
import { unattendedQueue } from './unattended-queue.ts';

const QUERY_TIMEOUT_MS = 5_000;

export interface ListOptions {
  tenant?: string;
  /** Only jobs that run. */
  running?: boolean;
  /** Only running jobs whose agent has waited for an answer for 2 s or longer. */
  waiting?: boolean;
  /** The newest so many; default 100. */
  limit?: number;
}

/** How a job stands now. Throws `job_not_found`, `temporal_unreachable`, `database_unreachable`. */
export async function readStatus(context: ClientContext, handle: WorkflowHandle): Promise<JobStatus> {
  const { db } = context.database;
  const recorded = summarise(await asTemporalError(handle.describe()));
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
    keys,
  };
}

/** The newest jobs first, by Temporal's visibility. Throws `temporal_unreachable`, `database_unreachable`. */
export async function listJobs(
  context: ClientContext,
  { tenant, running = false, waiting = false, limit = 100 }: ListOptions,
): Promise<JobSummary[]> {
  // A job whose history got long is a chain of runs, of which the newest counts.
  const clauses = [`WorkflowType = '${JOB_WORKFLOW}'`, `ExecutionStatus != 'ContinuedAsNew'`];
  if (tenant !== undefined) clauses.push(`ValetkeyTenant = '${tenant.replaceAll("'", "''")}'`);
  if (running || waiting) clauses.push(`ExecutionStatus = 'Running'`);
  if (waiting) clauses.push(`${searchAttributes.waiting.name} = true`);
  return withLedger(context, await asTemporalError(collect(context, clauses.join(' AND '), limit)));
}

async function collect({ temporal }: ClientContext, query: string, limit: number): Promise<JobSummary[]> {
  const jobs: JobSummary[] = [];
  const { workflow } = await temporal.connected();
  for await (const execution of workflow.list({ query, pageSize: Math.min(limit, 1000) })) {
    jobs.push(summarise(execution));
    if (jobs.length >= limit) break;
  }
  return jobs;
}

/** Temporal knows that a job runs; what its keys are and have spent, and how it ended, stands in the store. */
async function withLedger({ database: { db } }: ClientContext, jobs: JobSummary[]): Promise<JobSummary[]> {
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
