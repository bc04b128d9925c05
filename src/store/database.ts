import { Kysely, PostgresDialect, sql, type PostgresPool } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';

import { ValetkeyError } from '../contract/errors.ts';
import { limitStatements } from './limit-statements.ts';
import { migrations } from './migrations.ts';
import { createNotices, type Notices } from './notices.ts';
import { notePlace, notedPlace } from './place.ts';
import { prepareStatements } from './prepare.ts';
import type { Schema } from './schema.ts';
import { classifySqlState, PROBLEM_MESSAGES } from './sqlstate.ts';

export type Db = Kysely<Schema>;

/** A pool of connections to Valetkey's Postgres. */
export interface Database {
  readonly db: Db;
  /** For LISTEN and for statements with a timeout of their own, neither of which kysely supports. */
  readonly pool: pg.Pool;
  readonly notices: Notices;
  close(): Promise<void>;
}

/** Opens a pool. It connects on first use. */
export function openDatabase(url: string, { maxConnections = 10 }: { maxConnections?: number } = {}): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: 'valetkey',
  });
  // A broken connection emits 'error', which would end the process without a listener. The next query reports it.
  pool.on('error', () => {});
  pool.on('connect', (connection) => {
    connection.on('error', () => {});
    limitStatements(connection);
    prepareStatements(connection);
  });
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: withPlace(pool, url) }) });
  const notices = createNotices(url);
  return {
    db,
    pool,
    notices,
    close: async () => {
      await notices.close();
      await db.destroy();
    },
  };
}

/** Migrates the schema to the newest version. Several processes may call it at once. Throws `database_unreachable`. */
export async function migrate({ pool }: Pick<Database, 'pool'>): Promise<void> {
  // These connections have no statement timeout: the time of a migration grows with its tables.
  const unlimited = new pg.Pool({ ...pool.options, max: 2 });
  unlimited.on('error', () => {});
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: withPlace(unlimited, pool.options.connectionString ?? '') }) });
  try {
    await asDatabaseError(sql`select 1`.execute(db));
    const { error } = await new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } }).migrateToLatest();
    if (error !== undefined) throw error instanceof Error ? error : new Error('The schema was not migrated.');
  } finally {
    await db.destroy();
  }
}

/**
 * Awaits a query. An error of Postgres itself, not of the statement, becomes `database_unreachable`, without the driver's message, which
 * can contain the URL with its password.
 */
export async function asDatabaseError<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    const problem = isLostConnection(error) ? 'unreachable' : lacksTls(error) ? 'tls' : classifySqlState(readCode(error));
    if (problem === null) throw error;
    if (problem !== 'no_tables') throw new ValetkeyError('database_unreachable', `${PROBLEM_MESSAGES[problem]}${notedPlace(error)}.`);
    throw new ValetkeyError(
      'invalid_config',
      'The database of DATABASE_URL has no tables of Valetkey. Start a worker or a gateway: it creates them.',
    );
  }
}

/** Wraps a pool so that an error of connecting is noted with its place: host and port, or the folder of the socket. */
function withPlace(pool: pg.Pool, url: string): PostgresPool {
  return {
    options: pool.options,
    connect: async () => {
      try {
        return await pool.connect();
      } catch (error) {
        notePlace(error, new pg.Client({ connectionString: url }));
        throw error;
      }
    },
    end: async () => pool.end(),
  };
}

/** Returns whether the server declined TLS: the driver gives this error no code. */
function lacksTls(error: unknown): boolean {
  return error instanceof Error && error.message === 'The server does not support SSL connections';
}

/** Returns whether a connection ended or timed out: the pool and the driver give these errors no code. */
function isLostConnection(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(Connection terminated|driver has already been destroyed|timeout exceeded when trying to connect|Query read timeout|Client .* not queryable)/.test(
      error.message,
    )
  );
}

function readCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
