import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { stopSignal } from '../../src/cli/output/stop-signal.ts';
import { createClient } from '../../src/client/client.ts';
import { loadConfig } from '../../src/config/config.ts';
import { startPostgres } from '../../src/dev/postgres.ts';
import { startScriptedModel, type ScriptedModel } from '../../src/dev/scripted-model/server.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { startTemporal } from '../../src/dev/temporal.ts';
import { runGateway } from '../../src/gateway.ts';
import { openDatabase, type Database } from '../../src/store/database.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { processEnvironment } from '../helpers/process-environment.ts';
import { killSandboxes } from '../helpers/sandbox-remains.ts';
import { say } from './say.ts';
import { Supervisor } from './supervisor.ts';

/** A gateway, a provider and a worker process of their own, so that what is killed in one lane leaves the others alone. */
export interface Lane extends Stack {
  database: Database;
  /** Its record of requests is the auditor. */
  model: ScriptedModel;
  workers: Supervisor;
  /** Folder of the plans. */
  plans: string;
  /** Sandboxes that are there. */
  sandboxes(): Promise<number>;
}

export type OpenLane = (name: string, options?: LaneOptions) => Promise<Lane>;

/** What all lanes are on, for a stack of another kind beside them. */
export interface SharedParts {
  temporal: Stack['temporal'];
  createDatabase(name: string): Promise<string>;
}

/**
 * Starts a Temporal and a Postgres for the lanes that `work` opens, and ends all that was started: after the work, and when
 * this process is told to end or a lane's workers do not start.
 */
export async function withLanes<T>(work: (open: OpenLane, parts: SharedParts) => Promise<T>): Promise<T> {
  const stopped = stopSignal().then(() => Promise.reject(new Error('told to end')));
  const failed = Promise.withResolvers<never>();
  const [postgres, temporal] = await Promise.all([startPostgres({}), startTemporal({ report: say })]);
  const lanes: Lane[] = [];
  const openLane = async (name: string, options?: LaneOptions): Promise<Lane> => {
    const lane = await startLane({ ...temporal, uiUrl: null }, await postgres.createDatabase(name), options);
    lanes.push(lane);
    lane.workers.failed.catch(failed.reject);
    return lane;
  };
  try {
    const parts = { temporal: { ...temporal, uiUrl: null }, createDatabase: (name: string) => postgres.createDatabase(name) };
    return await Promise.race([work(openLane, parts), stopped, failed.promise]);
  } finally {
    await Promise.all(lanes.map(async (lane) => lane.stop()));
    await temporal.stop();
    await postgres.stop();
  }
}

export interface LaneOptions {
  /** For the worker and the gateway, beside their own. */
  environment?: NodeJS.ProcessEnv;
  /** What a worker asks of Postgres is among the points at which it can be killed. */
  statements?: boolean;
}

/** Starts a lane on a Temporal and an empty database that are there. */
export async function startLane(
  temporal: Stack['temporal'],
  databaseUrl: string,
  { environment: more = {}, statements = false }: LaneOptions = {},
): Promise<Lane> {
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-'));
  await chmod(stateDir, 0o755);
  const plans = join(stateDir, 'plans');
  await mkdir(plans, { mode: 0o700 });
  const credential = randomBytes(16).toString('hex');
  const model = await startScriptedModel({ credential });
  const environment = { ...processEnvironment({ databaseUrl, temporal, stateDir, model, credential }), ...more };
  const config = loadConfig(environment);
  const logFile = join(stateDir, 'log.jsonl');
  const gateway = await runGateway(config, createLogger({ level: 'info', file: logFile }));
  const log = await open(logFile, 'a');
  const workers = new Supervisor(
    [join(import.meta.dirname, 'worker.ts'), plans, ...(statements ? ['statements'] : [])],
    environment,
    log.fd,
  );
  await workers.start();
  const client = await createClient({
    databaseUrl,
    taskQueue: config.taskQueue,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  const database = openDatabase(databaseUrl);
  const lane: Lane = {
    client,
    config,
    temporal,
    gatewayUrl: gateway.url,
    database,
    model,
    workers,
    plans,
    sandboxes: async () => (await readdir(join(stateDir, 'jobs')).catch(() => [])).length,
    stop: async () => {
      await workers.stop();
      await killSandboxes(lane);
      await client.close();
      await database.close();
      await gateway.close();
      await model.close();
      await log.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
  return lane;
}
