import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import pg from 'pg';

import { ValetkeyError } from '../contract/errors.ts';
import { exists } from '../system/exists.ts';
import { findPostgres, isOpenToAll, makeFolder, postgresUser, type PostgresBinaries } from './postgres-binaries.ts';
import { onFreePort, onPort, poll, startServer, type ServerProcess } from './process.ts';

export interface DevPostgres {
  /**
   * Of the database `postgres`, with a superuser, by its unix socket, which costs each statement less than TCP; without the parameter
   * `host` by TCP. The same before and after a halt.
   */
  readonly url: string;
  readonly pid: number;
  /** Makes an empty database and gives its URL. */
  createDatabase(name: string): Promise<string>;
  /** Ends the server in mid-work and keeps its data and its port for `resume`. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  /** Ends the server, leaves no process and no file. */
  stop(): Promise<void>;
}

const START_MS = 60_000;

export interface DevPostgresOptions {
  /** A file that it writes to. */
  log?: string;
  /** Where its data stays, and its password; default: a new folder that is removed at the end. */
  folder?: string;
  /** Default: a free one. */
  port?: number;
  /** Is called when the server has ended without having been stopped. */
  onExit?: () => void;
}

/**
 * Starts a Postgres of our own on loopback, with the data and the password of the folder, or else with new ones. It ends with this
 * process. Throws `database_unreachable` where it does not start.
 */
export async function startPostgres(options: DevPostgresOptions = {}): Promise<DevPostgres> {
  const { folder } = options;
  if (folder !== undefined) return run(await openCluster(folder, options), options);
  const temporary = await makeFolder();
  const remove = (): Promise<void> => rm(temporary, { recursive: true, force: true });
  try {
    const postgres = await run(await openCluster(temporary, options), options);
    return {
      ...postgres,
      get pid() {
        return postgres.pid;
      },
      async stop() {
        await postgres.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** An initialised data directory, and what it takes to serve it. */
interface Cluster {
  dataDirectory: string;
  password: string;
  postgres: string;
  log: string | undefined;
}

/** The cluster of a folder; initialised where there is none. */
async function openCluster(folder: string, { log }: DevPostgresOptions): Promise<Cluster> {
  if (postgresUser() !== undefined && !(await isOpenToAll(folder)))
    throw new ValetkeyError(
      'invalid_config',
      `Postgres, which does not run as root, cannot get into ${folder}: set XDG_STATE_HOME to another.`,
    );
  const binaries = await findPostgres(folder);
  const passwordFile = join(folder, 'password');
  const dataDirectory = join(folder, 'data');
  if (!(await exists(dataDirectory))) await initialize(folder, { dataDirectory, passwordFile }, binaries);
  return { dataDirectory, password: await readFile(passwordFile, 'utf8'), postgres: binaries.postgres, log };
}

/** A killed process leaves no half of a data directory in its place. */
async function initialize(
  folder: string,
  { dataDirectory, passwordFile }: { dataDirectory: string; passwordFile: string },
  { initdb }: PostgresBinaries,
): Promise<void> {
  const fresh = join(folder, 'data.new');
  const user = postgresUser();
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  await writeFile(passwordFile, randomBytes(18).toString('base64url'), { mode: 0o600 });
  if (user !== undefined) for (const path of [fresh, passwordFile]) await chown(path, user, user);
  const auth = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  const options = ['-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions'];
  const { failed } = await execa(initdb, ['-D', fresh, ...auth, ...options], {
    cwd: '/',
    extendEnv: false,
    reject: false,
    stdio: 'ignore',
    ...(user !== undefined && { uid: user, gid: user }),
  });
  if (failed) throw new ValetkeyError('database_unreachable', 'The initdb of the Postgres from npm fails. Set DATABASE_URL.');
  await rename(fresh, dataDirectory);
}

async function run(cluster: Cluster, { port: fixedPort, onExit }: DevPostgresOptions): Promise<DevPostgres> {
  const start = (candidate: number): Promise<ServerProcess | undefined> => serve(cluster, candidate, onExit);
  const started = await (fixedPort === undefined ? onFreePort(start) : onPort(fixedPort, start));
  if (started === undefined) throw doesNotStart();
  const { port } = started;
  let { server } = started;
  const url = urlOf(cluster, port);
  return {
    url,
    get pid() {
      return server.pid;
    },
    async createDatabase(name) {
      await query(url, `create database ${pg.escapeIdentifier(name)}`);
      const database = new URL(url);
      database.pathname = name;
      return database.href;
    },
    halt: () => server.stop(),
    async resume() {
      const resumed = await start(port);
      if (resumed === undefined) throw doesNotStart();
      server = resumed;
    },
    stop: () => server.stop(),
  };
}

/** Resolves when the server answers, and it is ours; undefined where it ended or does not come up. */
async function serve(cluster: Cluster, port: number, onExit?: () => void): Promise<ServerProcess | undefined> {
  const { postgres, dataDirectory, log } = cluster;
  const server = await startServer({
    command: postgres,
    args: ['-D', dataDirectory, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${dataDirectory}`],
    log,
    user: postgresUser(),
  });
  const giveUpAt = Date.now() + START_MS;
  const answer = await poll(
    () => query(urlOf(cluster, port), 'show data_directory').catch(() => undefined),
    () => !server.running || Date.now() > giveUpAt,
  );
  if (answer?.rows[0]?.data_directory === dataDirectory) {
    server.onUnexpectedExit(onExit);
    return server;
  }
  await server.stop();
  return undefined;
}

async function query(url: string, text: string): Promise<pg.QueryResult<Record<string, unknown>>> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return await client.query<Record<string, unknown>>(text);
  } finally {
    await client.end();
  }
}

function urlOf({ password, dataDirectory }: Cluster, port: number): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}/postgres?host=${encodeURIComponent(dataDirectory)}`;
}

function doesNotStart(): ValetkeyError {
  return new ValetkeyError('database_unreachable', 'The Postgres from npm does not start. Set DATABASE_URL.');
}
