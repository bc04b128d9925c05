import { randomUUID } from 'node:crypto';

import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobEvent } from '../contract/events.ts';
import type { JobStatus, JobSummary, OpenQuestion } from '../contract/job-summary.ts';
import { ANSWER_UPDATE, INTERRUPT_UPDATE, PROMPT_UPDATE, type UpdateAccepted } from '../contract/requests.ts';
import type { Artifact, ArtifactInfo, JobResult } from '../contract/result.ts';
import type { JobSpecInput } from '../contract/spec-input.ts';
import { parseJobSpec, parsePrompt } from '../contract/spec.ts';
import { listArtifacts, readArtifact } from '../store/artifacts.ts';
import { storePrompt } from '../store/prompts.ts';
import { readOpenQuestion } from '../store/questions.ts';
import { asTemporalError } from '../temporal/errors.ts';
import { check, checkAnswer } from './check.ts';
import type { ClientContext } from './context.ts';
import { followJobEvents } from './follow-job-events.ts';
import { handleOf, readState } from './job-handle.ts';
import { listJobs } from './list-jobs.ts';
import {
  parseOptions,
  schemas,
  type EventsOptions,
  type JobFilter,
  type PromptOptions,
  type QuestionFilter,
  type SubmitOptions,
  type WaitOptions,
} from './options.ts';
import type { Page } from './page.ts';
import { listQuestions } from './questions.ts';
import { readStatus } from './read-jobs.ts';
import { waitForResult } from './read-result.ts';
import { requireJob, scopedTenant } from './scope.ts';
import { submitJob } from './submit.ts';
import { unattendedQueue } from './unattended-queue.ts';
import { updateJob } from './update-job.ts';

const artifactSchema = z.string().min(1, 'must not be empty');

/**
 * Jobs: submit them, follow them, talk to their agents, collect what they made. Of a client of one tenant (`forTenant`), every method
 * throws `job_not_found` for another tenant's job.
 */
export class Jobs<Spec extends { tenant?: string | undefined } = JobSpecInput> {
  readonly #context: ClientContext;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /**
   * Starts a job. Idempotent on `id`: the same id with the same spec is the same job, running or ended (`created` is false).
   * Without an id a new one is drawn. An id stays with its job: once Temporal has forgotten it, it is refused. The texts of the prompts
   * go to Postgres, not to Temporal.
   * @throws `invalid_spec`, `model_unpriced`, `job_conflict`, `temporal_unreachable`, `database_unreachable`
   */
  async submit(spec: Spec, options: SubmitOptions = {}): Promise<{ jobId: string; created: boolean }> {
    return this.#context.calls.run(async () => {
      const { id: jobId = `job-${randomUUID()}` } = parseOptions(schemas.submit, options);
      const scoped = this.#context.tenant === null ? spec : { ...spec, tenant: scopedTenant(this.#context, spec?.tenant) };
      return { jobId, created: await submitJob(this.#context, jobId, parseJobSpec(scoped, Date.now())) };
    });
  }

  /**
   * Waits for the end of a job, whatever its outcome: until it is settled.
   * @throws `job_not_found`, `terminated` where Temporal ended the workflow without its cleanup, `temporal_unreachable`,
   * `database_unreachable`; `aborted`, `wait_timeout`, after which the job goes on
   */
  async result(jobId: string, options: WaitOptions = {}): Promise<JobResult> {
    const waiting = parseOptions(schemas.wait, options);
    return this.#context.calls.run(async (stop) => waitForResult(this.#context, await handleOf(this.#context, jobId), stop), waiting);
  }

  /** Reads the status of a job. @throws `job_not_found`, `temporal_unreachable`, `database_unreachable` */
  async status(jobId: string): Promise<JobStatus> {
    return this.#context.calls.run(async () => readStatus(this.#context, await handleOf(this.#context, jobId)));
  }

  /**
   * Yields the events of a job in order, from the one after `after`. With `follow` (the default) it goes on with each new one and
   * ends with the job.
   * @throws at the first event: `invalid_spec`, `job_not_found`, `database_unreachable`; `aborted`, `wait_timeout`, after which the job goes on
   */
  events(jobId: string, options: EventsOptions = {}): AsyncIterableIterator<JobEvent> {
    return followJobEvents(this.#context, jobId, options);
  }

  /**
   * Requests the end of a job; its sandbox and its key are ended first. One whose last turn ends before the cancellation arrives completes.
   * Resolves to false for a job that has ended: it stays as it is.
   * @throws `job_not_found`, `temporal_unreachable`
   */
  async cancel(jobId: string): Promise<boolean> {
    return this.#context.calls.run(async () => {
      if ((await readState(this.#context, jobId)) !== 'running') return false;
      await asTemporalError((await handleOf(this.#context, jobId)).cancel());
      return true;
    });
  }

  /**
   * The task queue that a running job waits on, where no worker polls it; null where one does, and for a job that has ended. A worker that
   * was killed is missed after 6 s.
   * @throws `job_not_found`, `temporal_unreachable`, `database_unreachable`
   */
  async unattendedQueue(jobId: string): Promise<string | null> {
    return this.#context.calls.run(async () => unattendedQueue(this.#context, await requireJob(this.#context, jobId)));
  }

  /**
   * Gives a running job one more prompt, a turn of the same session after those that are there. Idempotent on `id`: the same id
   * with the same text is the same turn. Resolves to its number when the job has accepted it.
   * @throws `invalid_spec`, `job_not_found`, `job_closed` for a job that is ending, has ended or has had 1,000 prompts, `prompt_conflict`,
   * `database_unreachable`, and `no_worker` where none accepts it within 15 s
   */
  async prompt(jobId: string, text: string, options: PromptOptions = {}): Promise<UpdateAccepted> {
    return this.#context.calls.run(async () => {
      const { id = randomUUID() } = parseOptions(schemas.prompt, options);
      const content = parsePrompt(text);
      const job = await requireJob(this.#context, jobId);
      const prompt = await storePrompt(this.#context.database.db, job, content);
      return updateJob(this.#context, job, PROMPT_UPDATE, { id, ...prompt });
    });
  }

  /**
   * Interrupts the current turn, not the job: its stop reason is `cancelled`.
   * @throws `no_running_turn` between turns, `job_closed`, `job_not_found`, `no_worker`
   */
  async interrupt(jobId: string): Promise<UpdateAccepted> {
    return this.#context.calls.run(async () => updateJob(this.#context, jobId, INTERRUPT_UPDATE, {}));
  }

  /**
   * Answers a question of a job's agent: `status` and the events hold its id, and it can be answered from its event on.
   * @throws `invalid_spec`, `no_such_question` where it is not open, `job_closed`, `job_not_found`, `database_unreachable`
   */
  async answer(jobId: string, question: string, answer: 'allow' | 'deny'): Promise<UpdateAccepted> {
    return this.#context.calls.run(async () => {
      checkAnswer(question, answer);
      const job = await requireJob(this.#context, jobId);
      // Its event comes before the workflow has the question, and keeps the answer: so its event decides whether there is one.
      const turn = await readOpenQuestion(this.#context.database.db, job, question);
      if (turn !== null) return updateJob(this.#context, job, ANSWER_UPDATE, { question, turn, answer });
      if ((await readState(this.#context, job)) !== 'running') throw new ValetkeyError('job_closed', `The job ${job} has ended.`);
      throw new ValetkeyError('no_such_question', `The job ${job} has no open question ${question}.`);
    });
  }

  /**
   * Lists the newest jobs first, by Temporal's visibility, which lags by some milliseconds.
   * @throws `invalid_spec`, `temporal_unreachable`, `database_unreachable`
   */
  async list(filter: JobFilter = {}): Promise<Page<JobSummary>> {
    return this.#context.calls.run(async () => {
      const { tenant, ...options } = parseOptions(schemas.jobs, filter);
      return listJobs(this.#context, { ...options, tenant: scopedTenant(this.#context, tenant) });
    });
  }

  /**
   * Lists the questions that the agents of jobs wait at, the oldest first: an inbox of approvals. A question is listed once it has been open
   * for 2 s, by Temporal's visibility.
   * @throws `invalid_spec`, `temporal_unreachable`, `database_unreachable`
   */
  async questions(filter: QuestionFilter = {}): Promise<OpenQuestion[]> {
    return this.#context.calls.run(async () => {
      const { tenant, limit } = parseOptions(schemas.questions, filter);
      return listQuestions(this.#context, { tenant: scopedTenant(this.#context, tenant), limit });
    });
  }

  /**
   * Lists what was collected from a job so far: the patch, the last message, the files that its spec names.
   * @throws `invalid_spec`, `database_unreachable`
   */
  async artifacts(jobId: string): Promise<ArtifactInfo[]> {
    return this.#context.calls.run(async () => listArtifacts(this.#context.database.db, await requireJob(this.#context, jobId)));
  }

  /**
   * Reads one artifact with its content: `patch`, `message`, `files/<path>`. Null where there is none.
   * @throws `invalid_spec`, `database_unreachable`
   */
  async artifact(jobId: string, name: string): Promise<Artifact | null> {
    return this.#context.calls.run(async () => {
      const wanted = check('name', artifactSchema, name);
      return readArtifact(this.#context.database.db, await requireJob(this.#context, jobId), wanted);
    });
  }
}
