import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobEvent } from '../contract/events.ts';
import { ANSWER_UPDATE, INTERRUPT_UPDATE, PROMPT_UPDATE, type UpdateAccepted } from '../contract/requests.ts';
import type { ArtifactInfo, JobResult } from '../contract/result.ts';
import { parseJobSpec, parsePrompt, promptIdSchema, type JobSpecInput } from '../contract/spec.ts';
import { listArtifacts, readArtifact, type Artifact } from '../store/artifacts.ts';
import { followEvents, replayEvents } from '../store/follow-events.ts';
import { storePrompt } from '../store/prompts.ts';
import { readOpenQuestion } from '../store/questions.ts';
import { asTemporalError } from '../temporal/errors.ts';
import { check, checkAnswer, checkJobId } from './check.ts';
import type { ClientContext } from './context.ts';
import { handleOf, hasEnded, readState } from './job-handle.ts';
import type { JobStatus, JobSummary } from './job-state.ts';
import { listQuestions, type OpenQuestion } from './questions.ts';
import { listJobs, readStatus, type ListOptions } from './read-jobs.ts';
import { waitForResult } from './read-result.ts';
import { submitJob } from './submit.ts';
import { unattendedQueue } from './unattended-queue.ts';
import { updateJob } from './update-job.ts';

/** Jobs: submit them, follow them, talk to their agents, collect what they made. */
export class Jobs {
  readonly #context: ClientContext;

  /** A client makes it: `client.jobs`. */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /**
   * Starts a job. Idempotent on `id`: the same id with the same spec is the same job, running or ended (`created` is false).
   * Without an id a new one is drawn. An id is for one job for ever: once Temporal has forgotten it, it is refused. The texts of the prompts
   * go to Postgres, not to Temporal.
   * @throws `invalid_spec`, `model_unpriced`, `job_conflict`, `temporal_unreachable`, `database_unreachable`
   */
  async submit(input: JobSpecInput, { id = `job-${randomUUID()}` }: { id?: string } = {}): Promise<{ jobId: string; created: boolean }> {
    const jobId = checkJobId(id);
    return { jobId, created: await submitJob(this.#context, jobId, parseJobSpec(input, Date.now())) };
  }

  /**
   * Waits for the end of a job, whatever its outcome: until it is settled.
   * @throws `job_not_found`, `terminated` where Temporal ended the workflow without its cleanup, `temporal_unreachable`,
   * `database_unreachable`
   */
  async result(jobId: string): Promise<JobResult> {
    return waitForResult(this.#context, await handleOf(this.#context, jobId));
  }

  /** Reads the status of a job. @throws `job_not_found`, `temporal_unreachable`, `database_unreachable` */
  async status(jobId: string): Promise<JobStatus> {
    return readStatus(this.#context, await handleOf(this.#context, jobId));
  }

  /**
   * Yields the events of a job in order, from the one after `after`. With `follow` (the default) it goes on with each new one and
   * ends with the job.
   * @throws `job_not_found`, `database_unreachable`
   */
  events(jobId: string, { after = 0, follow = true }: { after?: number; follow?: boolean } = {}): AsyncIterableIterator<JobEvent> {
    const { database } = this.#context;
    const ended = async (): Promise<boolean> => hasEnded(this.#context, jobId);
    return follow ? followEvents(database, jobId, after, ended) : replayEvents(database.db, jobId, after, ended);
  }

  /**
   * Requests the end of a job; its sandbox and its key are ended first. One whose last turn ends before the cancellation arrives completes.
   * Resolves to false for a job that has ended: it stays as it is.
   * @throws `job_not_found`, `temporal_unreachable`
   */
  async cancel(jobId: string): Promise<boolean> {
    if ((await readState(this.#context, jobId)) !== 'running') return false;
    await asTemporalError((await handleOf(this.#context, jobId)).cancel());
    return true;
  }

  /**
   * The task queue that a running job waits on, where no worker polls it; null where one does, and for a job that has ended. A worker that
   * was killed is missed after 6 s.
   * @throws `job_not_found`, `temporal_unreachable`, `database_unreachable`
   */
  async unattendedQueue(jobId: string): Promise<string | null> {
    return unattendedQueue(this.#context, checkJobId(jobId));
  }

  /**
   * Gives a running job one more prompt, a turn of the same session after those that are there. Idempotent on `id`: the same id
   * with the same text is the same turn. Resolves to its number when the job has accepted it.
   * @throws `invalid_spec`, `job_not_found`, `job_closed` for a job that is ending, has ended or has had 1,000 prompts, `prompt_conflict`,
   * `database_unreachable`, and `no_worker` where none accepts it within 15 s
   */
  async prompt(jobId: string, text: string, { id = randomUUID() }: { id?: string } = {}): Promise<UpdateAccepted> {
    const job = checkJobId(jobId);
    const promptId = check('id', promptIdSchema, id);
    const prompt = await storePrompt(this.#context.database.db, job, parsePrompt(text));
    return updateJob(this.#context, job, PROMPT_UPDATE, { id: promptId, ...prompt });
  }

  /**
   * Interrupts the current turn, not the job: its stop reason is `cancelled`.
   * @throws `nothing_to_do` between turns, `job_closed`, `job_not_found`, `no_worker`
   */
  async interrupt(jobId: string): Promise<UpdateAccepted> {
    return updateJob(this.#context, jobId, INTERRUPT_UPDATE, {});
  }

  /**
   * Answers a question of a job's agent: `status` and the events hold its id, and it can be answered from its event on.
   * @throws `invalid_spec` for another answer, `nothing_to_do` where it is not open, `job_closed`, `job_not_found`, `database_unreachable`
   */
  async answer(jobId: string, question: string, answer: 'allow' | 'deny'): Promise<UpdateAccepted> {
    const job = checkJobId(jobId);
    checkAnswer(question, answer);
    // Its event comes before the workflow has the question, and keeps the answer: so its event decides whether there is one.
    const turn = await readOpenQuestion(this.#context.database.db, job, question);
    if (turn === null) {
      if ((await readState(this.#context, job)) !== 'running') throw new ValetkeyError('job_closed', `the job ${job} has ended`);
      throw new ValetkeyError('nothing_to_do', `The job ${job} has no open question ${question}.`);
    }
    return updateJob(this.#context, job, ANSWER_UPDATE, { question, turn, answer });
  }

  /** Lists the newest jobs first, by Temporal's visibility, which lags by some milliseconds. @throws `temporal_unreachable` */
  async list(options: ListOptions = {}): Promise<JobSummary[]> {
    return listJobs(this.#context, options);
  }

  /**
   * Lists the questions that the agents of jobs wait at, the oldest first: an inbox of approvals. A question is listed once it has been open
   * for 2 s, by Temporal's visibility.
   * @throws `temporal_unreachable`, `database_unreachable`
   */
  async questions(options: Pick<ListOptions, 'tenant' | 'limit'> = {}): Promise<OpenQuestion[]> {
    return listQuestions(this.#context, options);
  }

  /** Lists what was collected from a job so far: the patch, the last message, the files that its spec names. @throws `database_unreachable` */
  async artifacts(jobId: string): Promise<ArtifactInfo[]> {
    return listArtifacts(this.#context.database.db, checkJobId(jobId));
  }

  /** Reads one artifact with its content: `patch`, `message`, `files/<path>`. Null where there is none. @throws `database_unreachable` */
  async artifact(jobId: string, name: string): Promise<Artifact | null> {
    return readArtifact(this.#context.database.db, checkJobId(jobId), name);
  }
}
