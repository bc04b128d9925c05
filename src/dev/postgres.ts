import { randomBytes } from 'node:crypto';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import pg from 'pg';

import { ValetkeyError } from '../contract/errors.ts';
import { findPostgres, makeFolder, postgresUser, type PostgresBinaries } from './postgres-binaries.ts';
import { onFreePort, poll, startServer, type ServerProcess } from './process.ts';

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

/**
 * Starts a Postgres of our own on a free port of loopback, with a new data directory and a new password. It ends with this
 * process. Throws `database_unreachable` where it does not start. `log`: a file that it writes to.
 */
export async function startPostgres({ log }: { log?: string } = {}): Promise<DevPostgres> {
  const folder = await makeFolder();
  try {
    const binaries = await findPostgres(folder);
    const cluster = await initialise(folder, binaries, log);
    return await run(cluster);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** An initialised data directory, and what it takes to serve it. */
interface Cluster {
  folder: string;
  dataDirectory: string;
  password: string;
  postgres: string;
  log: string | undefined;
}

async function initialise(folder: string, { initdb, postgres }: PostgresBinaries, log: string | undefined): Promise<Cluster> {
  const dataDirectory = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  const password = randomBytes(18).toString('base64url');
  const user = postgresUser();
  await mkdir(dataDirectory, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (user !== undefined) for (const path of [dataDirectory, passwordFile]) await chown(path, user, user);
  const auth = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  const options = ['-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions'];
  const { failed } = await execa(initdb, ['-D', dataDirectory, ...auth, ...options], {
    cwd: '/',
    extendEnv: false,
    reject: false,
    stdio: 'ignore',
    ...(user !== undefined && { uid: user, gid: user }),
  });
  await rm(passwordFile);
  if (failed) throw new ValetkeyError('database_unreachable', 'initdb of the Postgres from npm fails; set DATABASE_URL');
  return { folder, dataDirectory, password, postgres, log };
}

async function run(cluster: Cluster): Promise<DevPostgres> {
  const started = await onFreePort((candidate) => serve(cluster, candidate));
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
      const resumed = await serve(cluster, port);
      if (resumed === undefined) throw doesNotStart();
      server = resumed;
    },
    async stop() {
      await server.stop();
      await rm(cluster.folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when the server answers, and it is ours; undefined where it ended or does not come up. */
async function serve(cluster: Cluster, port: number): Promise<ServerProcess | undefined> {
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
  if (answer?.rows[0]?.data_directory === dataDirectory) return server;
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
  return new ValetkeyError('database_unreachable', 'the Postgres from npm does not start; set DATABASE_URL');
}
