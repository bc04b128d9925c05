import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { Client, isGrpcServiceError } from '@temporalio/client';
import { DefaultLogger, makeTelemetryFilterString, NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';

import { createActivities, type ActivityDeps } from '../activities/index.ts';
import { StopNotices } from '../activities/stop-notices.ts';
import { agents } from '../agents/index.ts';
import { required, type Config } from '../config/config.ts';
import { temporalConfig } from '../config/temporal.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { createGateways, type Gateways } from '../gateways/index.ts';
import { ownerOf } from '../keys/context.ts';
import { createRootKeys } from '../keys/derive.ts';
import { createSandboxes } from '../sandboxes/index.ts';
import { openKeyring } from '../secrets/keyring.ts';
import { sealUpstreamKey } from '../secrets/seal.ts';
import { createUnsealer, type Unsealer } from '../secrets/unsealer.ts';
import { createSandboxOperations } from '../session/index.ts';
import { migrate, openDatabase, type Database } from '../store/database.ts';
import { appendEvents, type SourcedEvent } from '../store/events.ts';
import { deleteWorkerFiles, readWorkerFiles, storeWorkerFiles } from '../store/worker-files.ts';
import type { Logger } from '../telemetry/log.ts';
import { createKeyMetrics, createStuckJobsGauge } from '../telemetry/metrics.ts';
import { createJobRecords } from '../temporal/job-records.ts';
import { createJobSteps } from '../temporal/job-steps.ts';
import { temporalPlace, workerThroughProxy } from '../temporal/outbound.ts';
import { temporalUnreachable } from '../temporal/unreachable.ts';
import { createWorkspaces } from '../workspace/index.ts';
import { reportGatewayProblems } from './gateway-problems.ts';
import { reportHostProblems } from './host-problems.ts';
import { hostTaskQueue } from './host-task-queue.ts';
import { startKeyCounts } from './key-counts.ts';
import { startRetention } from './retention.ts';
import { checkRootKeys } from './root-key-check.ts';
import { startSchedules } from './schedules.ts';
import { ensureSearchAttributes } from './search-attributes.ts';
import { watchStuckJobs } from './stuck-jobs.ts';
import { startWatching } from './watching.ts';
import { workflowBundle } from './workflow-bundle.ts';

/** Delays the hand-over to the next worker one to one, so it is short. */
const SHUTDOWN_GRACE = '2s';

/** Turns that run at once on a host, each an activity that mostly waits: its memory is used up before. The SDK's default is 100. */
const MAX_SESSIONS = 500;

/**
 * ms between two heartbeats of a turn, at most. Each is a billed action; what they would tell, a notice through Postgres tells at once, so
 * they are what is left where a notice is lost. Where Temporal pushes cancels, that is one more way.
 */
const HEARTBEAT_MS = 30_000;
const PUSHED_HEARTBEAT_MS = 60_000;

/** A worker that polls. */
export interface RunningWorker {
  /** Resolves when the worker has ended; rejects with what ended it. */
  readonly done: Promise<void>;
  /** Takes no more work and leaves running turns to the next worker. Resolves when all is closed. */
  shutdown(): Promise<void>;
}

/** What the steps of a job work on. */
export interface Adapters extends Pick<ActivityDeps, 'database' | 'sandboxes' | 'agents' | 'session' | 'workspaces' | 'unsealer' | 'jobs'> {
  gateways: Gateways;
}

/** What a worker starts with. */
export interface WorkerSettings {
  config: Config;
  /** Where the SDK's log goes, too; the first worker of a process says it. Default: standard error. */
  logger?: Logger;
  /** Default: what Temporal's environment variables and profile say. */
  temporal?: { address: string; namespace: string };
  /** Gets the adapters that the configuration names, and returns those that the worker uses. */
  adapt?: (adapters: Adapters) => Adapters;
}

/**
 * Starts a worker: it runs the workflows and drives the sandboxes of this host. Resolves when it polls. Throws
 * `invalid_config`, `root_key_missing` where the workers that run use another, `temporal_unreachable`, `database_unreachable`.
 */
export async function startWorker({ config, logger, temporal, adapt = (adapters) => adapters }: WorkerSettings): Promise<RunningWorker> {
  const databaseUrl = required(config.databaseUrl, 'DATABASE_URL');
  const ring = openKeyring(config, (problem) => void Runtime.instance().logger.warn(problem));
  const rootKeys = createRootKeys(ring);
  const unsealer = createUnsealer(ring);
  // Without it no key of a gateway could reach the proxies: found now, not by the first job.
  if (Object.keys(config.gateways).length > 0) publicKeyOfProxies(config, unsealer);
  const database = openDatabase(databaseUrl);
  let connection: NativeConnection | undefined;
  let stopRetention: (() => Promise<void>) | undefined;
  let stopCounts: (() => Promise<void>) | undefined;
  const shared: Worker[] = [];
  const serving: { close(): Promise<void> }[] = [];
  let stopWatching: (() => Promise<void>) | undefined;
  let stopStuckJobs: (() => Promise<void>) | undefined;
  let reporting: Promise<unknown> | undefined;
  // What is left open keeps the process.
  const close = async (): Promise<void> => {
    await Promise.all([stopWatching?.(), stopStuckJobs?.(), reporting]);
    await connection?.close();
    for (const one of serving) await one.close();
    await stopRetention?.();
    await stopCounts?.();
    await database.close();
  };
  try {
    await migrate(database);
    // Not before it has work: a listener of the SDK's log keeps the process.
    if (logger !== undefined) installRuntime(logger, config);
    connection = await connect(temporal);
    const namespace = temporal?.namespace ?? temporalConfig().namespace ?? 'default';
    const isPushing = await requireNamespace(connection, namespace);
    await ensureSearchAttributes(connection, namespace);
    const owner = ownerOf(namespace, config.deployment);
    await checkRootKeys(database.db, owner, ring);
    const client = new Client({ connection, namespace });
    const jobs = createJobRecords(client, config.taskQueue);
    const metrics = createKeyMetrics(Runtime.instance().metricMeter);
    stopCounts = startKeyCounts(database.db, owner, metrics);
    const adapters = adapt({ ...createAdapters(config, database, owner, unsealer), database, jobs });
    const deps: ActivityDeps = {
      ...adapters,
      keys: {
        db: adapters.database.db,
        gateways: adapters.gateways,
        rootKeys,
        sealUpstreamKey: async (secret, ref) => sealUpstreamKey(secret, { publicKey: publicKeyOfProxies(config, unsealer), ref }),
        openUpstreamKey: async (sealed, ref) => adapters.unsealer.open(sealed, { purpose: 'upstream-key', ref }),
        owner,
        leaseMs: config.keyLeaseMs,
        metrics,
      },
      graceMs: config.sweepGraceMs,
      stops: new StopNotices(),
    };
    for (const provider of Object.values(adapters.sandboxes)) if (provider.serve !== undefined) serving.push(provider.serve());
    reporting = Promise.all([reportHostProblems(adapters.sandboxes), reportGatewayProblems(adapters.gateways)]);
    await startSchedules(client.schedule, config);
    const self = {
      id: `${process.pid}@${config.host}/${randomUUID()}`,
      taskQueue: hostTaskQueue(config),
      gateways: Object.values(adapters.gateways).map(({ name }) => name),
      sandboxProviders: Object.values(adapters.sandboxes).map(({ name }) => name),
    };
    stopWatching = await startWatching({
      database: adapters.database,
      worker: self,
      sandboxes: adapters.sandboxes,
      context: { keys: deps.keys, jobs: deps.jobs, graceMs: deps.graceMs },
      steps: createJobSteps(client),
      stops: deps.stops,
      closedJobsMs: config.sweepIntervalMs,
      sharedQueue: config.taskQueue,
      stopTaking: () => stopWorkers(shared),
    });
    const heartbeatMs = config.heartbeatMs ?? (isPushing ? PUSHED_HEARTBEAT_MS : HEARTBEAT_MS);
    const workers = await createWorkers(config, deps, {
      connection,
      namespace,
      identity: self.id,
      maxHeartbeatThrottleInterval: heartbeatMs,
    });
    shared.push(...workers.slice(0, 1));
    const stop = (): void => stopWorkers(workers);
    const { logger: workerLog, metricMeter } = Runtime.instance();
    stopStuckJobs = watchStuckJobs(client.workflow, {
      taskQueue: config.taskQueue,
      onCount: createStuckJobsGauge(metricMeter),
      logger: workerLog,
    });
    stopRetention = startRetention(database, config.eventRetentionMs);
    const done = runAll(workers, stop, close);
    return {
      done,
      shutdown: () => {
        stop();
        return done;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function stopWorkers(workers: readonly Worker[]): void {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
}

/** One that fails takes the others along: half a host's work would stay undone. */
async function runAll(workers: Worker[], stop: () => void, close: () => Promise<void>): Promise<void> {
  const runs = workers.map((worker) => worker.run());
  try {
    await Promise.all(runs);
  } finally {
    stop();
    await Promise.allSettled(runs);
    await close();
  }
}

let installed = false;

/** Sends the SDK's log where ours goes, and leaves signals to the process. Before the first worker; the first call of a process counts. */
function installRuntime(logger: Logger, { metricsAddress }: Pick<Config, 'metricsAddress'>): void {
  if (installed) return;
  installed = true;
  const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
      // Every host's own queue is for activities alone.
      if (message.startsWith('No workflows registered')) return;
      logger[levels[level]](meta ?? {}, message);
    }),
    shutdownSignals: [],
    telemetryOptions: {
      // Else what is under the SDK writes to standard output, where our one document belongs, past the masks of our log.
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
      ...(metricsAddress === undefined ? {} : { metrics: { prometheus: { bindAddress: metricsAddress } } }),
    },
  });
}

/** The public key of the proxies: the configured one, else that of this worker's own keyring, which they then have, too. Throws `invalid_config`. */
function publicKeyOfProxies({ sealingPublicKey }: Config, own: Pick<Unsealer, 'publicKey'>): string {
  return sealingPublicKey ?? required(own.publicKey() ?? undefined, 'VALETKEY_SEALING_PUBLIC_KEY');
}

function createAdapters(config: Config, { db }: Database, owner: string, unsealer: Unsealer): Omit<Adapters, 'database' | 'jobs'> {
  const { stateDir, agentsDir, runsc, path, sandboxes: machine } = config;
  const { image } = config.docker;
  const egress = { ...config.egress, store: (jobId: string, events: SourcedEvent[]) => appendEvents(db, jobId, events) };
  const { socketDir, socketPath } = config.gateway;
  const onHost = { agents, owner, socketDir, hostTaskQueue: hostTaskQueue(config), egress, machine };
  return {
    gateways: createGateways({ ...config.gateways, builtin: { db, socketPath }, owner, outbound: config.gateway.outbound }),
    sandboxes: createSandboxes({
      local: { ...onHost, stateDir, agentsDir, runsc, path },
      docker:
        image === undefined ? undefined : { ...onHost, ...config.docker, image, stateDir: join(stateDir, 'docker'), baseDir: stateDir },
      remote: {
        agents,
        owner,
        settings: config.remoteSandboxes,
        folders: {
          write: (jobId, content) => storeWorkerFiles(db, jobId, content),
          read: (jobId) => readWorkerFiles(db, jobId),
          remove: (jobId) => deleteWorkerFiles(db, [jobId]),
        },
        egress,
        stateDir,
        path,
        outbound: config.gateway.outbound,
      },
    }),
    agents,
    session: createSandboxOperations(),
    workspaces: createWorkspaces({ path, scratchFolder: join(stateDir, 'push') }),
    unsealer,
  };
}

async function createWorkers(config: Config, deps: ActivityDeps, own: Partial<WorkerOptions>): Promise<Worker[]> {
  const options: WorkerOptions = {
    ...own,
    taskQueue: config.taskQueue,
    activities: createActivities(deps),
    shutdownGraceTime: SHUTDOWN_GRACE,
  };
  return Promise.all([
    Worker.create({ ...options, workflowBundle: await workflowBundle() }),
    Worker.create({ ...options, taskQueue: hostTaskQueue(config), maxConcurrentActivityTaskExecutions: MAX_SESSIONS }),
  ]);
}

const NOT_FOUND = 5;

/**
 * Workers that poll a namespace which is not there end late, with an error of the SDK. One that may not look polls and sees. Resolves to
 * whether Temporal pushes cancels to workers.
 */
async function requireNamespace({ workflowService }: NativeConnection, namespace: string): Promise<boolean> {
  try {
    const { namespaceInfo } = await workflowService.describeNamespace({ namespace });
    return namespaceInfo?.capabilities?.workerCommands === true;
  } catch (error) {
    const code: number | null = isGrpcServiceError(error) ? error.code : null;
    if (code !== NOT_FOUND) return false;
    throw new ValetkeyError('invalid_config', `TEMPORAL_NAMESPACE: Temporal has no namespace ${namespace}`);
  }
}

async function connect(temporal: WorkerSettings['temporal']): Promise<NativeConnection> {
  const options = temporal === undefined ? temporalConfig().connectionOptions : { address: temporal.address };
  // The SDK compresses by default, which costs more than it saves on the way to oneself.
  const nearby = /^(localhost|127\.|\[::1\])/.test(options.address ?? 'localhost');
  const reached = workerThroughProxy(options);
  try {
    return await NativeConnection.connect({ ...reached, ...(nearby ? { grpcCompression: { codec: 'none' } } : {}) });
  } catch {
    throw await temporalUnreachable(temporalPlace(options));
  }
}
