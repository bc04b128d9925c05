import { randomBytes } from 'node:crypto';

import { Connection } from '@temporalio/client';

import { loadConfig } from '../config/config.ts';
import { ValetkeyError } from '../contract/errors.ts';
import { searchAttributes } from '../contract/search-attributes.ts';
import { clientThroughProxy } from '../temporal/outbound.ts';
import { onFreePort, onPort, freePort, poll, startServer, type ServerProcess } from './process.ts';
import { findTemporal } from './temporal-program.ts';

export interface DevTemporal {
  /** The same before and after a halt, as is the UI's. */
  readonly address: string;
  readonly namespace: string;
  readonly uiUrl: string;
  readonly pid: number;
  /** Ends the server in mid-work. What it knew is gone unless it has a database file. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

export interface DevTemporalOptions {
  /** Receives a line for each step. */
  report: (line: string) => void;
  /** Where the server keeps its state, for `halt` and `resume`; default: in memory, which is faster. The caller removes it. */
  dbFilename?: string;
  /** A file that it writes to. */
  log?: string;
  /** Default: free ones. */
  ports?: { server: number; ui: number };
  /** A namespace of its own, by which it is recognized; default: a new name. With a database file it is the same at each start. */
  marker?: string;
  /** Is called when the server has ended without having been stopped. */
  onExit?: () => void;
  /** More of Temporal's dynamic configuration, by name. */
  dynamicConfig?: Record<string, number | boolean>;
}

const NAMESPACE = 'default';
const START_MS = 60_000;

/**
 * Starts a Temporal server of our own, which knows our search attributes, on free ports of loopback; brings the program first
 * where it is missing. It ends with this process. Throws `temporal_missing` or `temporal_unreachable`.
 */
export async function startTemporal(options: DevTemporalOptions): Promise<DevTemporal> {
  const { report, ports, marker = `valetkey-${randomBytes(8).toString('hex')}` } = options;
  const { path, cacheDir } = loadConfig();
  const program = await findTemporal({ path, cacheDir, report });
  report('Temporal: starting');
  const uiPort = ports?.ui ?? (await freePort());
  const start = (port: number): Promise<ServerProcess | undefined> => serve({ ...options, program, port, uiPort, marker });
  const started = await (ports === undefined ? onFreePort(start) : onPort(ports.server, start));
  if (started === undefined) throw doesNotStart();
  let { server } = started;
  return {
    address: addressOf(started.port),
    namespace: NAMESPACE,
    uiUrl: `http://${addressOf(uiPort)}`,
    get pid() {
      return server.pid;
    },
    halt: () => server.stop(),
    async resume() {
      const resumed = await start(started.port);
      if (resumed === undefined) throw doesNotStart();
      server = resumed;
    },
    stop: () => server.stop(),
  };
}

interface Launch extends Omit<DevTemporalOptions, 'ports'> {
  program: string;
  port: number;
  uiPort: number;
  /** The name of a namespace that no other server has: who answers for it is ours. */
  marker: string;
}

/** Resolves when the server answers, and it is ours; undefined where it ended or does not come up. */
async function serve({
  program,
  port,
  uiPort,
  marker,
  dbFilename,
  log,
  dynamicConfig,
  onExit,
}: Launch): Promise<ServerProcess | undefined> {
  const listen = ['--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort), '--namespace', marker];
  const quiet = ['--ui-disable-news-fetch', '--log-level', 'error', '--disable-config-file', '--disable-config-env'];
  const file = dbFilename === undefined ? [] : ['--db-filename', dbFilename, ...PRAGMAS];
  const server = await startServer({
    command: program,
    args: ['server', 'start-dev', ...listen, ...quiet, ...file, ...attributeFlags(), ...dynamicFlags(dynamicConfig)],
    log,
  });
  const giveUpAt = Date.now() + START_MS;
  const isOurs = await poll(
    () => answersFor(addressOf(port), marker),
    () => !server.running || Date.now() > giveUpAt,
  );
  if (isOurs !== undefined) {
    server.onUnexpectedExit(onExit);
    return server;
  }
  await server.stop();
  return undefined;
}

/** SQLite waits for the disk at a checkpoint only: a loss of power can cost the last moments, and leaves the rest whole. */
const PRAGMAS = ['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=NORMAL'];

/**
 * The stock server looks for work every 50 ms, which every step of a job waits for; one partition makes fairness between
 * tenants exact.
 */
const DYNAMIC_CONFIG = {
  'history.transferProcessorMaxPollRPS': 1000,
  'history.timerProcessorMaxPollRPS': 1000,
  'matching.enableFairness': true,
  'system.enableActivityEagerExecution': true,
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
};

function dynamicFlags(more: DevTemporalOptions['dynamicConfig'] = {}): string[] {
  return Object.entries({ ...DYNAMIC_CONFIG, ...more }).flatMap(([name, value]) => ['--dynamic-config-value', `${name}=${value}`]);
}

function attributeFlags(): string[] {
  const types = { KEYWORD: 'Keyword', KEYWORD_LIST: 'KeywordList', DOUBLE: 'Double', BOOL: 'Bool' };
  return Object.values(searchAttributes).flatMap(({ name, type }) => ['--search-attribute', `${name}=${types[type]}`]);
}

async function answersFor(address: string, namespace: string): Promise<true | undefined> {
  // The SDK's own retry ends the process where the connection is closed before its timer fires; the poll retries anyway.
  const connection = Connection.lazy({ ...clientThroughProxy({ address }), connectTimeout: 1_000, interceptors: [] });
  try {
    await connection.withDeadline(Date.now() + 1_000, () => connection.workflowService.describeNamespace({ namespace }));
    return true;
  } catch {
    return undefined;
  } finally {
    await connection.close();
  }
}

function addressOf(port: number): string {
  return `127.0.0.1:${port}`;
}

function doesNotStart(): ValetkeyError {
  return new ValetkeyError('temporal_unreachable', 'The development server of Temporal does not start. Set TEMPORAL_ADDRESS to another.');
}
