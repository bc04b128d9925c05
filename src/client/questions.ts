import type { OpenQuestion } from '../contract/job-summary.ts';
import { readOpenQuestions } from '../store/questions.ts';
import type { ClientContext } from './context.ts';
import { listJobs } from './list-jobs.ts';

/**
 * The open questions of the jobs that wait for an answer, the oldest first; `limit` is that of the jobs.
 * @throws `temporal_unreachable`, `database_unreachable`
 */
export async function listQuestions(
  context: ClientContext,
  options: { tenant: string | undefined; limit: number | undefined },
): Promise<OpenQuestion[]> {
  const { items: waiting } = await listJobs(context, { ...options, waiting: true });
  const jobs = new Map(waiting.map((job) => [job.jobId, job]));
  const questions = await readOpenQuestions(context.database.db, [...jobs.keys()]);
  return questions.flatMap((question) => {
    const job = jobs.get(question.jobId);
    return job === undefined ? [] : [{ ...question, tenant: job.tenant, agent: job.agent }];
  });
}
