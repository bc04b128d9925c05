import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { createClient, type ValetkeyClient } from '../client/client.ts';
import { gatewaySocket, loadConfig, type Config } from '../config/config.ts';
import { secretsOf } from '../config/secrets.ts';
import { temporalConfig } from '../config/temporal.ts';
import { codeOf } from '../contract/errors.ts';
import { runGateway } from '../gateway.ts';
import { Secret } from '../secrets/secret.ts';
import { createLogger } from '../telemetry/log.ts';
import { startWorker, type WorkerSettings } from '../worker/start.ts';
import { keepBounded } from './bounded-logs.ts';
import { endJobs } from './end-jobs.ts';
import type { DataFolder } from './folder/data-folder.ts';
import { requirePort } from './folder/ports.ts';
import { stackKeys } from './folder/stack-keys.ts';
import { Parts, within } from './parts.ts';
import { startPostgres } from './postgres.ts';
import { SandboxGate } from './sandbox-gate.ts';
import type { Step } from './scripted-model/script.ts';
import { startScriptedModel, type ScriptedModel } from './scripted-model/server.ts';
import { startTemporal } from './temporal.ts';

export interface StackOptions {
  /** Receives what is being started, and which part has ended by itself. */
  report: (line: string) => void;
  /** What it names (DATABASE_URL) is used and not started; default: the environment. */
  config?: Config;
  /** A Temporal that runs, on which jobs go on after `stop`; default: the configured address, else one is started. */
  temporal?: TemporalAddress;
  /** Where keys, data and ports stay the same from start to start; default: a temporary folder and free ports. */
  data?: DataFolder;
  /** What the scripted model does where a prompt holds no script. */
  script?: Step[];
  /** The real providers with the configured credentials, in place of the scripted model. */
  live?: boolean;
  adapt?: WorkerSettings['adapt'];
  /** Ends what has been started so far, and throws its reason. */
  signal?: AbortSignal;
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
  /**
   * Starts no sandbox any more, cancels the jobs unless Temporal was given, and ends the worker, the gateway and what else was started, in the
   * order in which they depend on each other. From the signal on nothing is waited for longer than five seconds.
   */
  stop(hurry?: AbortSignal): Promise<void>;
}

/**
 * Starts the stack: Postgres and Temporal where none is configured, the scripted model, the gateway, a worker. What was
 * started is ended again when a later part fails. Throws what the parts throw, and `port_taken`.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const parts = new Parts();
  try {
    return await startParts(parts, options);
  } catch (error) {
    await parts.stop(options.signal ?? new AbortController().signal).catch(() => {});
    throw error;
  }
}

async function startParts(parts: Parts, options: StackOptions): Promise<Stack> {
  const { report, adapt = (adapters) => adapters, data, signal, config: configured = loadConfig() } = options;
  const stateDir = data?.stateDir ?? (await parts.add(temporaryFolder(), removeFolder, signal));
  const logs = logsIn(data?.logs ?? stateDir);
  report(`log: ${logs.valetkey}`);
  await parts.add(keepBounded(Object.values(logs)), (stop) => stop(), signal);

  const databaseUrl =
    configured.databaseUrl ?? (await parts.add(ownPostgres(options, logs.postgres), (postgres) => postgres.stop(), signal)).url;
  const shared = options.temporal === undefined ? configuredTemporal() : null;
  const temporal = options.temporal ?? shared ?? (await parts.add(ownTemporal(options, logs.temporal), (server) => server.stop(), signal));
  const credential = new Secret(randomBytes(16).toString('hex'));
  const model =
    options.live === true ? null : await parts.add(scriptedModel(credential, options.script), (server) => server.close(), signal);
  const upstream =
    model === null
      ? {}
      : {
          anthropic: { baseUrl: model.baseUrl, credential },
          openai: { baseUrl: model.baseUrl, credential },
          chatgptUrl: `${model.baseUrl}/v1`,
        };
  const keys = await stackKeys(configured, data?.keyring);
  const ownName = (name: string): string => (shared === null ? name : `${name}-${data?.id ?? basename(stateDir)}`);
  const config: Config = {
    ...configured,
    ...keys,
    // Another stack may be on that Temporal, with jobs of a store and schedules of its own.
    taskQueue: ownName(configured.taskQueue),
    deployment: ownName(configured.deployment),
    databaseUrl,
    stateDir,
    gateway: { ...configured.gateway, ...gatewaySocket(stateDir), port: data?.ports.gateway ?? 0, ...upstream },
  };

  const logger = createLogger({
    level: config.logLevel,
    secrets: [credential, ...secretsOf(config)],
    file: logs.valetkey,
  });
  report('gateway and worker: starting');
  if (data !== undefined) await requirePort(data.ports.gateway, 'the gateway', data.portsFile);
  const gateway = await parts.add(runGateway(config, logger), (proxy) => proxy.close(), signal);
  const gate = new SandboxGate();
  const endsJobs = options.temporal === undefined;
  // A sandbox whose job is still under way, as after a second Ctrl-C, would stay.
  if (endsJobs) await parts.add(Promise.resolve(gate), (open) => open.endAll());
  const guarded: WorkerSettings['adapt'] = (given) => {
    const adapters = adapt(given);
    return { ...adapters, sandboxes: gate.guard(adapters.sandboxes) };
  };
  const worker = await parts.add(startWorker({ config, logger, temporal, adapt: guarded }), (running) => running.shutdown(), signal);
  const client = await parts.add(
    createClient({
      databaseUrl,
      taskQueue: config.taskQueue,
      deployment: config.deployment,
      temporal: { address: temporal.address, namespace: temporal.namespace },
    }),
    (opened) => opened.close(),
    signal,
  );

  const lifetime = { stopping: false };
  const ended = (error?: unknown): void => {
    if (!lifetime.stopping)
      report(`The worker has ended${error === undefined ? '' : ` (${codeOf(error)})`}: ${ADVICE} Its log: ${logs.valetkey}`);
  };
  void worker.done.then(() => ended(), ended);
  const stop = async (hurry: AbortSignal = new AbortController().signal): Promise<void> => {
    lifetime.stopping = true;
    if (endsJobs) {
      await within(gate.close(), hurry);
      await endJobs({ client, taskQueue: config.taskQueue, gate }, hurry);
      // What is left runs on while the worker shuts down, which can hang.
      if (hurry.aborted) await within(gate.endAll(), hurry).catch(() => {});
    }
    await parts.stop(AbortSignal.any([hurry, AbortSignal.timeout(STOP_MS)]));
  };
  return { client, config, temporal, gatewayUrl: gateway.url, model, stop };
}

/** From then on a part that hangs, such as a worker whose Temporal is frozen, is not waited for. */
const STOP_MS = 45_000;

const ADVICE = 'jobs stand still. Stop with Ctrl-C and start again.';

function logsIn(folder: string): { valetkey: string; postgres: string; temporal: string } {
  return { valetkey: join(folder, 'log.jsonl'), postgres: join(folder, 'postgres.log'), temporal: join(folder, 'temporal.log') };
}

async function ownPostgres({ report, data }: StackOptions, log: string): ReturnType<typeof startPostgres> {
  report('Postgres: starting');
  const onExit = (): void => report(`Postgres has ended: ${ADVICE} Its log: ${log}`);
  if (data === undefined) return startPostgres({ log, onExit });
  await requirePort(data.ports.postgres, 'Postgres', data.portsFile);
  return startPostgres({ log, onExit, folder: data.postgres, port: data.ports.postgres });
}

async function ownTemporal({ report, data }: StackOptions, log: string): ReturnType<typeof startTemporal> {
  const onExit = (): void => report(`Temporal has ended: ${ADVICE} Its log: ${log}`);
  if (data === undefined) return startTemporal({ report, log, onExit });
  const { temporal: server, temporalUi: ui } = data.ports;
  await requirePort(server, 'Temporal', data.portsFile);
  await requirePort(ui, 'Temporal’s UI', data.portsFile);
  return startTemporal({ report, log, onExit, dbFilename: data.temporal, marker: `valetkey-${data.id}`, ports: { server, ui } });
}

function configuredTemporal(): TemporalAddress | null {
  const { connectionOptions, namespace = 'default' } = temporalConfig();
  const { address } = connectionOptions;
  return address === undefined ? null : { address, namespace, uiUrl: null };
}

async function scriptedModel(credential: Secret, script: Step[] | undefined): Promise<ScriptedModel> {
  return startScriptedModel({ credential: credential.reveal(), ...(script === undefined ? {} : { script }) });
}

/** The sandboxes' user has to get through it, and a socket's path is short. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vk-'));
  await chmod(folder, 0o755);
  return folder;
}

async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
