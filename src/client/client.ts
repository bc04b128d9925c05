import { temporalConfig } from '../config/temporal.ts';
import type { TenantJobSpecInput } from '../contract/spec-input.ts';
import { tenantSchema } from '../contract/spec.ts';
import type { SweepReport } from '../contract/sweep.ts';
import { ownerOf } from '../keys/context.ts';
import { openDatabase } from '../store/database.ts';
import { connectWhenNeeded } from '../temporal/connect-when-needed.ts';
import { Calls } from './calls.ts';
import { check } from './check.ts';
import { parseClientOptions } from './client-options.ts';
import type { ClientContext } from './context.ts';
import { Credentials } from './credentials.ts';
import { Jobs } from './jobs.ts';
import { Keyring } from './keyring.ts';
import { Keys } from './keys.ts';
import { parseOptions, schemas, type ClientOptions, type SweepOptions } from './options.ts';
import { Schedules } from './schedules.ts';
import { sweepOnce } from './sweep.ts';
import { Tenants } from './tenants.ts';

/**
 * What a backend does with jobs.
 *
 * ```ts
 * const valetkey = await createClient({ databaseUrl });
 * const { jobId } = await valetkey.jobs.submit({ tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['…'], budgetUsd: 1 });
 * for await (const event of valetkey.jobs.events(jobId)) console.log(event.type);
 * const { outcome, usage } = await valetkey.jobs.result(jobId);
 * await valetkey.close();
 * ```
 */
export class ValetkeyClient {
  readonly #context: ClientContext;
  #closing: Promise<void> | null = null;
  /** Jobs: submit, follow, prompt, answer, cancel, collect artifacts. */
  readonly jobs: Jobs;
  /** Keys of jobs: list, rotate, revoke. */
  readonly keys: Keys;
  /** Blocked tenants: list, unblock. */
  readonly tenants: Tenants;
  /** Stored credentials at the providers: add, list, rotate, remove. */
  readonly credentials: Credentials;
  /** Schedules: list, apply, pause, resume. */
  readonly schedules: Schedules;
  /** Key rings of the workers: what needs their keys. */
  readonly keyring: Keyring;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
    this.jobs = new Jobs(context);
    this.keys = new Keys(context);
    this.tenants = new Tenants(context);
    this.credentials = new Credentials(context);
    this.schedules = new Schedules(context);
    this.keyring = new Keyring(context);
  }

  /**
   * A client of one tenant, over the same connections: its jobs run for that tenant, and another tenant's job is `job_not_found` for each
   * method. For code that acts for a tenant: no id that a request brings reaches beyond it.
   * @throws `invalid_spec`
   */
  forTenant(tenant: string): TenantClient {
    return new TenantClient({ ...this.#context, tenant: check('tenant', tenantSchema, tenant) });
  }

  /**
   * Has a worker look for orphaned keys and sandboxes now, and end them; with `dryRun` it only reports what it would do.
   * @throws `invalid_spec`, `no_worker` where none begins within 15 s, `temporal_unreachable`; `aborted`, `wait_timeout`
   */
  async sweep(options: SweepOptions = {}): Promise<SweepReport> {
    const { dryRun = false, ...waiting } = parseOptions(schemas.sweep, options);
    return this.#context.calls.run(async () => sweepOnce(this.#context, dryRun), waiting);
  }

  /** Closes the connections to Temporal and Postgres: calls that wait, and those that come, throw `client_closed`. Idempotent. */
  async close(): Promise<void> {
    this.#context.calls.close();
    this.#closing ??= Promise.all([this.#context.temporal.close(), this.#context.database.close()]).then(() => undefined);
    return this.#closing;
  }

  /** `await using client = await createClient(…)` closes it at the end of its block. */
  async [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A client that sees the jobs and keys of one tenant: `client.forTenant('acme')`. It ends with its client. */
export class TenantClient {
  /** Jobs of the tenant. */
  readonly jobs: Jobs<TenantJobSpecInput>;
  /** Keys of the tenant. */
  readonly keys: Keys;
  /** Stored credentials of the tenant. */
  readonly credentials: Credentials;

  /** @internal */
  constructor(context: ClientContext) {
    this.jobs = new Jobs(context);
    this.keys = new Keys(context);
    this.credentials = new Credentials(context);
  }
}

/**
 * Makes a client. It reaches Postgres and Temporal when something is first asked of them: with Temporal away, keys are still listed and
 * revoked.
 * @throws `invalid_config`, which names the option or the environment variable
 */
export async function createClient(options: ClientOptions): Promise<ValetkeyClient> {
  const { databaseUrl, taskQueue = 'valetkey', deployment = taskQueue, temporal: server } = parseClientOptions(options);
  const configured = temporalConfig();
  const connection = server === undefined ? configured.connectionOptions : { address: server.address };
  const namespace = server?.namespace ?? configured.namespace ?? 'default';
  return new ValetkeyClient({
    temporal: connectWhenNeeded(connection, namespace),
    database: openDatabase(databaseUrl),
    taskQueue,
    deployment,
    owner: ownerOf(namespace, deployment),
    calls: new Calls(),
    tenant: null,
  });
}
