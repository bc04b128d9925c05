import { temporalConfig } from '../config/config.ts';
import type { SweepReport } from '../contract/sweep.ts';
import { ownerOf } from '../keys/context.ts';
import { openDatabase } from '../store/database.ts';
import { connectWhenNeeded } from '../temporal/connect-when-needed.ts';
import type { ClientContext } from './context.ts';
import { Jobs } from './jobs.ts';
import { Keyring } from './keyring.ts';
import { Keys } from './keys.ts';
import { Schedules } from './schedules.ts';
import { sweepOnce } from './sweep.ts';
import { Tenants } from './tenants.ts';

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
 * const { jobId } = await valetkey.jobs.submit({ tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['…'], budgetUsd: 1 });
 * for await (const event of valetkey.jobs.events(jobId)) console.log(event.type);
 * const { outcome, usage } = await valetkey.jobs.result(jobId);
 * await valetkey.close();
 * ```
 */
export class ValetkeyClient {
  readonly #context: ClientContext;
  /** Jobs: submit, follow, prompt, answer, cancel, collect artifacts. */
  readonly jobs: Jobs;
  /** Keys of jobs: list, rotate, revoke. */
  readonly keys: Keys;
  /** Tenants: unblock. */
  readonly tenants: Tenants;
  /** Schedules: list, apply, pause, resume. */
  readonly schedules: Schedules;
  /** Key rings of the workers: what needs their keys. */
  readonly keyring: Keyring;

  /** Use `createClient`. */
  constructor(context: ClientContext) {
    this.#context = context;
    this.jobs = new Jobs(context);
    this.keys = new Keys(context);
    this.tenants = new Tenants(context);
    this.schedules = new Schedules(context);
    this.keyring = new Keyring(context);
  }

  /**
   * Has a worker look for orphaned keys and sandboxes now, and end them; with `dryRun` it only reports what it would do.
   * @throws `no_worker` where none begins within 15 s, `temporal_unreachable`
   */
  async sweep({ dryRun = false }: { dryRun?: boolean } = {}): Promise<SweepReport> {
    return sweepOnce(this.#context, dryRun);
  }

  /** Closes the connections to Temporal and Postgres. */
  async close(): Promise<void> {
    await Promise.all([this.#context.temporal.close(), this.#context.database.close()]);
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
