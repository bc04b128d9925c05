import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { createClient, type ValetkeyClient } from '../client/client.ts';
import { gatewaySocket, loadConfig, temporalConfig, type Config } from '../config/config.ts';
import { runGateway } from '../gateway.ts';
import { Secret } from '../secrets/secret.ts';
import { createLogger } from '../telemetry/log.ts';
import { startWorker, type WorkerSettings } from '../worker/start.ts';
import { startPostgres, type DevPostgres } from './postgres.ts';
import { poll } from './process.ts';
import type { Step } from './scripted-model/script.ts';
import { startScriptedModel, type ScriptedModel } from './scripted-model/server.ts';
import { startTemporal } from './temporal.ts';

const MAX_JOBS = 1000;
/** A job on a task queue that nobody polls never ends. */
const END_JOBS_MS = 30_000;

export interface StackOptions {
  /** Hears what is being started. */
  report: (line: string) => void;
  /** What it names (DATABASE_URL) is used and not started; default: the environment. */
  config?: Config;
  /** A Temporal that runs; default: the configured address, else one is started. */
  temporal?: TemporalAddress;
  /** What the scripted model does where a prompt holds no script. */
  script?: Step[];
  /** The real providers with the configured credentials, in place of the scripted model. */
  live?: boolean;
  adapt?: WorkerSettings['adapt'];
}

export interface TemporalAddress {
  address: string;
  namespace: string;
  /** Null where it is not known. */
  uiUrl: string | null;
}

/** All parts of Valetkey in one process, over a Temporal and a Postgres. */
export interface Stack {
  client: ValetkeyClient;
  config: Config;
  temporal: TemporalAddress;
  gatewayUrl: string;
  /** Null when the providers are the real ones. */
  model: ScriptedModel | null;
  /** Ends the worker, the gateway and what else was started, in the order in which they depend on each other. */
  stop(): Promise<void>;
}

/**
 * Starts the stack: Postgres and Temporal where none is configured, the scripted model, the gateway, a worker. What was
 * started is ended again when a later part fails. Throws what the parts throw.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { report, script, adapt, config: configured = loadConfig() } = options;
  const parts = new Parts();
  try {
    const stateDir = await parts.add(temporaryFolder(), (folder) => rm(folder, { recursive: true, force: true }));
    const databaseUrl = configured.databaseUrl ?? (await parts.add(ownPostgres(report), (postgres) => postgres.stop())).url;
    const shared = options.temporal === undefined ? configuredTemporal() : null;
    const given = options.temporal ?? shared;
    const temporal = given ?? (await parts.add(startTemporal({ report }), (server) => server.stop()));
    const credential = new Secret(randomBytes(16).toString('hex'));
    const model = options.live === true ? null : await parts.add(scriptedModel(credential, script), (server) => server.close());
    const upstream =
      model === null ? {} : { anthropic: { baseUrl: model.baseUrl, credential }, openai: { baseUrl: model.baseUrl, credential } };
    const rootKey = configured.keyringPath === undefined ? new Secret(randomBytes(32).toString('base64')) : undefined;
    const ownName = (name: string): string => (shared === null ? name : `${name}-${basename(stateDir)}`);
    const config: Config = {
      ...configured,
      // Another stack may be on that Temporal, with jobs of a store and schedules of its own.
      taskQueue: ownName(configured.taskQueue),
      deployment: ownName(configured.deployment),
      databaseUrl,
      rootKey,
      stateDir,
      gateway: { ...configured.gateway, ...gatewaySocket(stateDir), port: 0, ...upstream },
    };

    const secrets = [rootKey, credential, configured.gateway.anthropic.credential, configured.gateway.openai.credential];
    const logger = createLogger({
      level: config.logLevel,
      secrets: secrets.filter((secret) => secret !== undefined),
      file: join(stateDir, 'log.jsonl'),
    });
    report('gateway and worker: starting');
    const gateway = await parts.add(runGateway(config, logger), (proxy) => proxy.close());
    await parts.add(startWorker({ config, logger, temporal, ...(adapt === undefined ? {} : { adapt }) }), (worker) => worker.shutdown());
    const client = await parts.add(
      createClient({ databaseUrl, taskQueue: config.taskQueue, deployment: config.deployment, temporal }),
      (opened) => opened.close(),
    );
    // With a Temporal of our own nobody could go on with a job, and its sandbox would stay.
    if (given === null) await parts.add(Promise.resolve(client), endJobs);
    return { client, config, temporal, gatewayUrl: gateway.url, model, stop: () => parts.stop() };
  } catch (error) {
    await parts.stop();
    throw error;
  }
}

async function ownPostgres(report: (line: string) => void): Promise<DevPostgres> {
  report('Postgres: starting');
  return startPostgres({});
}

function configuredTemporal(): TemporalAddress | null {
  const { connectionOptions, namespace = 'default' } = temporalConfig();
  const { address } = connectionOptions;
  return address === undefined ? null : { address, namespace, uiUrl: null };
}

async function scriptedModel(credential: Secret, script: Step[] | undefined): Promise<ScriptedModel> {
  return startScriptedModel({ credential: credential.reveal(), ...(script === undefined ? {} : { script }) });
}

async function endJobs(client: ValetkeyClient): Promise<void> {
  const jobs = await client.jobs.list({ running: true, limit: MAX_JOBS });
  await Promise.allSettled(jobs.map(({ jobId }) => client.jobs.cancel(jobId)));
  const giveUpAt = Date.now() + END_JOBS_MS;
  await poll(
    async () => ((await client.jobs.list({ running: true, limit: 1 })).length === 0 ? true : undefined),
    () => Date.now() > giveUpAt,
  );
}

/** The sandboxes' user has to get through it, and a socket's path is short. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-'));
  await chmod(folder, 0o755);
  return folder;
}

/** What was started, to be ended from the last to the first. */
class Parts {
  readonly #ends: (() => Promise<void>)[] = [];

  async add<T>(starting: Promise<T>, end: (part: T) => Promise<void>): Promise<T> {
    const part = await starting;
    this.#ends.push(() => end(part));
    return part;
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0).toReversed()) await end();
  }
}
