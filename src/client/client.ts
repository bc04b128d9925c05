import { randomUUID } from 'node:crypto';

import type { WorkflowHandle } from '@temporalio/client';
import type { z } from 'zod';

import { temporalConfig } from '../config/config.ts';
import { ValetkeyError } from '../contract/errors.ts';
import type { JobEvent } from '../contract/events.ts';
import {
  ANSWER_UPDATE,
  INTERRUPT_UPDATE,
  PROMPT_UPDATE,
  ROTATE_UPDATE,
  type AnswerRequest,
  type Rotated,
  type Taken,
} from '../contract/requests.ts';
import type { ArtifactInfo, JobResult } from '../contract/result.ts';
import type { RevokeReport } from '../contract/revocation.ts';
import { jobIdSchema, keyRefSchema, parseJobSpec, parsePrompt, promptIdSchema, tenantSchema, type JobSpecInput } from '../contract/spec.ts';
import type { SweepReport } from '../contract/sweep.ts';
import { ownerOf } from '../keys/context.ts';
import type { KeyringUse } from '../keys/decide-prune.ts';
import { listArtifacts, readArtifact, type Artifact } from '../store/artifacts.ts';
import { openDatabase, type Database } from '../store/database.ts';
import { followEvents, replayEvents } from '../store/follow-events.ts';
import { listKeys, type KeyFilter, type KeyInfo } from '../store/key-list.ts';
import { keyLives } from '../store/keys.ts';
import { storePrompts } from '../store/prompts.ts';
import { readOpenQuestion } from '../store/questions.ts';
import { liftTenant } from '../store/revocations.ts';
import { connectWhenNeeded } from '../temporal/connect-when-needed.ts';
import { asTemporalError, asUpdateError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { stateOf, type JobState, type JobStatus, type JobSummary } from './job-state.ts';
import { readKeyringUse } from './keyring-use.ts';
import { listJobs, readStatus, type ListOptions } from './read-jobs.ts';
import { waitForResult } from './read-result.ts';
import { revoke } from './revoke.ts';
import { Schedules } from './schedules.ts';
import { submitJob } from './submit.ts';
import { sweepOnce } from './sweep.ts';

const UPDATE_TIMEOUT_MS = 15_000;

export interface ClientOptions {
  /** Postgres that the workers use. */
  databaseUrl: string;
  /** Default: `valetkey`. */
  taskQueue?: string;
  /** Name of the installation, as its workers have it (VALETKEY_DEPLOYMENT). Default: the task queue's. */
  deployment?: string;
  /** Default: what Temporal's environment variables and profile say (@temporalio/envconfig). */
  temporal?: { address: string; namespace?: string };
}

/**
 * What a backend does with jobs.
 *
 * ```ts
 * const valetkey = await createClient({ databaseUrl });
 * const { jobId } = await valetkey.submit({ tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['…'], budgetUsd: 1 });
 * for await (const event of valetkey.events(jobId)) console.log(event.type);
 * const { outcome, usage } = await valetkey.result(jobId);
 * await valetkey.close();
 * ```
 */
export class ValetkeyClient {
  readonly #database: Database;
  readonly #context: ClientContext;
  /** What runs by itself: list, apply, pause, resume. */
  readonly schedules: Schedules;

  /** Use `createClient`. */
  constructor(context: ClientContext) {
    this.#context = context;
    this.#database = context.database;
    this.schedules = new Schedules(context);
  }

  /**
   * Starts a job. Idempotent on `id`: the same id with the same spec is the same job, running or ended (`created` is false).
   * Without an id a new one is drawn. An id is for one job for ever: once Temporal has forgotten it, it is refused. The texts of the prompts
   * go to Postgres, not to Temporal. Throws `invalid_spec`, `model_unpriced`, `job_conflict`, `temporal_unreachable`, `database_unreachable`.
   */
  async submit(input: JobSpecInput, { id = `job-${randomUUID()}` }: { id?: string } = {}): Promise<{ jobId: string; created: boolean }> {
    const jobId = checkJobId(id);
    return { jobId, created: await submitJob(this.#context, jobId, parseJobSpec(input, Date.now())) };
  }

  /**
   * Waits for the end of a job, whatever its outcome: until it is settled. Throws `job_not_found`, `terminated` where Temporal ended the
   * workflow without its cleanup, `temporal_unreachable`, `database_unreachable`.
   */
  async result(jobId: string): Promise<JobResult> {
    return waitForResult(this.#context, await this.#handle(jobId));
  }

  /** How the job stands now. Throws `job_not_found`, `temporal_unreachable`, `database_unreachable`. */
  async status(jobId: string): Promise<JobStatus> {
    return readStatus(this.#context, await this.#handle(jobId));
  }

  /**
   * The events of a job in order, from the one after `after`. With `follow` (the default) it goes on with each new one and
   * ends with the job. Throws `job_not_found`, `database_unreachable`.
   */
  events(jobId: string, { after = 0, follow = true }: { after?: number; follow?: boolean } = {}): AsyncIterableIterator<JobEvent> {
    return follow
      ? followEvents(this.#database, jobId, after, () => this.#hasEnded(jobId))
      : replayEvents(this.#database.db, jobId, after, () => this.#hasEnded(jobId));
  }

  /**
   * Asks a job to end; its sandbox and its key are ended first. An ended job stays as it is, and one whose last turn ends
   * before the cancel gets there completes. Throws `job_not_found`.
   */
  async cancel(jobId: string): Promise<void> {
    if ((await this.#state(jobId)) !== 'running') return;
    await asTemporalError((await this.#handle(jobId)).cancel());
  }

  /**
   * Gives a running job one more prompt, a turn of the same session after those that are there. Idempotent on `id`: the same id
   * with the same text is the same turn. Resolves to its number when the job has taken it. Throws `invalid_spec`, `job_not_found`,
   * `job_closed` for a job that is ending, has ended or has had 1,000 prompts, `prompt_conflict`, `database_unreachable`, and `no_worker`
   * where none takes it within 15 s.
   */
  async prompt(jobId: string, text: string, { id = randomUUID() }: { id?: string } = {}): Promise<Taken> {
    const job = checkJobId(jobId);
    const promptId = check('id', promptIdSchema, id);
    const [prompt] = await storePrompts(this.#database.db, job, [parsePrompt(text)]);
    return this.#update(job, PROMPT_UPDATE, { id: promptId, ...prompt });
  }

  /**
   * Ends the turn that runs, not the job: its stop reason is `cancelled`. Throws `nothing_to_do` between turns, `job_closed`,
   * `job_not_found`.
   */
  async interrupt(jobId: string): Promise<Taken> {
    return this.#update(jobId, INTERRUPT_UPDATE);
  }

  /**
   * Answers a question of a job's agent: `status` and the events tell its id, and it can be answered from its event on. Throws
   * `nothing_to_do` where it is not open, `job_closed`, `job_not_found`, `database_unreachable`.
   */
  async answer(jobId: string, question: string, answer: 'allow' | 'deny'): Promise<Taken> {
    const job = checkJobId(jobId);
    // Its event comes before the workflow has the question, and keeps the answer: so its event decides whether there is one.
    const turn = await readOpenQuestion(this.#database.db, job, question);
    if (turn === null) {
      if ((await this.#state(job)) !== 'running') throw new ValetkeyError('job_closed', `the job ${job} has ended`);
      throw new ValetkeyError('nothing_to_do', `The job ${job} has no open question ${question}.`);
    }
    return this.#update(jobId, ANSWER_UPDATE, { question, turn, answer } satisfies AnswerRequest);
  }

  /** The newest jobs first, by Temporal's visibility, which lags by some milliseconds. Throws `temporal_unreachable`. */
  async list(options: ListOptions = {}): Promise<JobSummary[]> {
    return listJobs(this.#context, options);
  }

  /** What came out of a job so far: the patch, the last message, the files that its spec names. Throws `database_unreachable`. */
  async artifacts(jobId: string): Promise<ArtifactInfo[]> {
    return listArtifacts(this.#database.db, checkJobId(jobId));
  }

  /** One artifact with its content: `patch`, `message`, `files/<path>`. Null where there is none. Throws `database_unreachable`. */
  async artifact(jobId: string, name: string): Promise<Artifact | null> {
    return readArtifact(this.#database.db, checkJobId(jobId), name);
  }

  /** What hangs on the keys of key rings: an old one that nothing hangs on may go. Throws `temporal_unreachable`, `database_unreachable`. */
  async keyringUse(): Promise<KeyringUse> {
    return readKeyringUse(this.#context);
  }

  /** The installation's keys as the ledger has them, the newest first. Throws `database_unreachable`. */
  async keys(filter: KeyFilter = {}): Promise<KeyInfo[]> {
    return listKeys(this.#database.db, this.#context.owner, filter);
  }

  /**
   * Revokes the keys of a job or of a tenant, or one key. From this moment on the built-in gateway refuses them and cuts their streams,
   * also with workers or Temporal away. The job gets no other key and fails with `key_refused` once it uses the one that it had; a tenant
   * gets none until `lift`, and its new jobs fail with `tenant_blocked`. Resolves once the keys are dead and settled, and within 15 s: the
   * report says what is pending. Idempotent. Throws `invalid_spec`, `job_not_found`, `nothing_to_do` where there never was such a key,
   * `database_unreachable`.
   */
  async revoke(target: { jobId: string } | { ref: string } | { tenant: string }): Promise<RevokeReport> {
    if ('tenant' in target) return revoke(this.#context, { tenant: check('tenant', tenantSchema, target.tenant) });
    if ('ref' in target) return revoke(this.#context, { ref: check('ref', keyRefSchema, target.ref) });
    const jobId = checkJobId(target.jobId);
    try {
      return await revoke(this.#context, { jobId });
    } catch (error) {
      if (ValetkeyError.is(error) && error.code === 'nothing_to_do') await this.#state(jobId);
      throw error;
    }
  }

  /** Lets a tenant that was revoked have keys again. Resolves to false where it was not. Throws `invalid_spec`, `database_unreachable`. */
  async lift(tenant: string): Promise<boolean> {
    return liftTenant(this.#database.db, check('tenant', tenantSchema, tenant));
  }

  /**
   * Has a worker look for keys and sandboxes that have lost their job, now, and end them; with `dryRun` it only says what it would do.
   * Throws `no_worker` where none begins within 15 s, `temporal_unreachable`.
   */
  async sweep({ dryRun = false }: { dryRun?: boolean } = {}): Promise<SweepReport> {
    return sweepOnce(this.#context, dryRun);
  }

  /**
   * Gives a running job its next key; the one before is ended once the agent has taken it up. Resolves when it is minted. Throws
   * `nothing_to_do` for a job without a active key, `key_refused` where one was revoked, `tenant_blocked`, `job_closed`, `job_not_found`,
   * `no_worker`.
   */
  async rotateKey(jobId: string): Promise<Rotated> {
    return this.#update<Rotated>(jobId, ROTATE_UPDATE);
  }

  async close(): Promise<void> {
    await Promise.all([this.#context.temporal.close(), this.#database.close()]);
  }

  async #handle(jobId: string): Promise<WorkflowHandle> {
    const id = checkJobId(jobId);
    const { workflow } = await this.#context.temporal.connected();
    return workflow.getHandle(id);
  }

  async #state(jobId: string): Promise<JobState> {
    const handle = await this.#handle(jobId);
    return stateOf(await asTemporalError(handle.describe()));
  }

  /** Throws `job_not_found` for a job that neither Temporal nor the ledger knows: Temporal forgets one after its retention. */
  async #hasEnded(jobId: string): Promise<boolean> {
    try {
      return (await this.#state(jobId)) !== 'running';
    } catch (error) {
      if (!ValetkeyError.is(error) || error.code !== 'job_not_found') throw error;
      if ((await keyLives(this.#database.db, jobId)).length > 0) return true;
      throw error;
    }
  }

  /** Asks something of the job's workflow. */
  async #update<T = Taken>(jobId: string, name: string, request: object = {}): Promise<T> {
    const handle = await this.#handle(jobId);
    const { connection } = await this.#context.temporal.connected();
    const update = connection.withDeadline(Date.now() + UPDATE_TIMEOUT_MS, () =>
      handle.executeUpdate<T, [object]>(name, { args: [request] }),
    );
    return asUpdateError(update, jobId, () => this.#state(jobId));
  }
}

/**
 * Reaches Postgres and Temporal when something is first asked of them: with Temporal away, keys are still listed and revoked. Throws
 * `invalid_config`.
 */
export async function createClient({
  databaseUrl,
  taskQueue = 'valetkey',
  deployment = taskQueue,
  temporal: server,
}: ClientOptions): Promise<ValetkeyClient> {
  const configured = temporalConfig();
  const options = server === undefined ? configured.connectionOptions : { address: server.address };
  const namespace = server?.namespace ?? configured.namespace ?? 'default';
  const temporal = connectWhenNeeded(options, namespace);
  const database = openDatabase(databaseUrl);
  return new ValetkeyClient({ temporal, database, taskQueue, deployment, owner: ownerOf(namespace, deployment) });
}

function checkJobId(id: string): string {
  return check('id', jobIdSchema, id);
}

/** Throws `invalid_spec`. */
function check<T>(path: string, schema: z.ZodType<T>, value: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const message = parsed.error.issues[0]?.message ?? 'is wrong';
  throw new ValetkeyError('invalid_spec', `${path}: ${message}`, [{ path, message }]);
}
