import { readOpenQuestions, type StoredQuestion } from '../store/questions.ts';
import type { ClientContext } from './context.ts';
import type { JobSummary } from './job-state.ts';
import { listJobs, type ListOptions } from './read-jobs.ts';

/** An open question of a job's agent, as an inbox shows it. `client.jobs.answer` takes its `jobId` and its `id`. */
export type OpenQuestion = StoredQuestion & Pick<JobSummary, 'tenant' | 'agent'>;

/**
 * The open questions of the jobs that wait for an answer, the oldest first; `limit` is that of the jobs.
 * @throws `temporal_unreachable`, `database_unreachable`
 */
export async function listQuestions(context: ClientContext, options: Pick<ListOptions, 'tenant' | 'limit'>): Promise<OpenQuestion[]> {
  const waiting = await listJobs(context, { ...options, waiting: true });
  const jobs = new Map(waiting.map((job) => [job.jobId, job]));
  const questions = await readOpenQuestions(context.database.db, [...jobs.keys()]);
  return questions.flatMap((question) => {
    const job = jobs.get(question.jobId);
    return job === undefined ? [] : [{ ...question, tenant: job.tenant, agent: job.agent }];
  });
}
