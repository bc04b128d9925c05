import { Kysely, PostgresDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';

import { ValetkeyError } from '../contract/errors.ts';
import { limitStatements } from './limit-statements.ts';
import { migrations } from './migrations.ts';
import { createNotices, type Notices } from './notices.ts';
import { prepareStatements } from './prepare.ts';
import type { Schema } from './schema.ts';
import { TROUBLE_MESSAGES, troubleOf } from './sqlstate.ts';

export type Db = Kysely<Schema>;

/** A pool of connections to Valetkey's Postgres. */
export interface Database {
  readonly db: Db;
  /** For LISTEN and a statement that waits no longer than it says, which kysely does not do. */
  readonly pool: pg.Pool;
  readonly notices: Notices;
  close(): Promise<void>;
}

/** Opens a pool; connects on first use. */
export function openDatabase(url: string, { maxConnections = 10 }: { maxConnections?: number } = {}): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: 'valetkey',
  });
  // A connection that breaks emits 'error', idle or in a transaction; unheard it would end the process. The next query reports it.
  pool.on('error', () => {});
  pool.on('connect', (connection) => {
    connection.on('error', () => {});
    limitStatements(connection);
    prepareStatements(connection);
  });
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
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

/** Brings the schema up to date; safe when several processes do it at once. Throws `database_unreachable`. */
export async function migrate({ pool }: Pick<Database, 'pool'>): Promise<void> {
  // Over connections without a limit: a migration takes as long as its tables are large.
  const unlimited = new pg.Pool({ ...pool.options, max: 2 });
  unlimited.on('error', () => {});
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: unlimited }) });
  try {
    await asDatabaseError(sql`select 1`.execute(db));
    const { error } = await new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } }).migrateToLatest();
    if (error !== undefined) throw error instanceof Error ? error : new Error('the schema was not migrated');
  } finally {
    await db.destroy();
  }
}

/**
 * Waits for a query; an error that is about Postgres, not about the statement, becomes `database_unreachable`, without the driver's
 * message, which can hold the URL with its password.
 */
export async function asDatabaseError<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    const trouble = isLostConnection(error) ? 'away' : troubleOf(codeOf(error));
    if (trouble === null) throw error;
    if (trouble !== 'no_tables') throw new ValetkeyError('database_unreachable', TROUBLE_MESSAGES[trouble]);
    throw new ValetkeyError(
      'invalid_config',
      'DATABASE_URL: the tables are not there yet; a worker or a gateway makes them when it starts',
    );
  }
}

/** The pool and the driver give these no code: a connection that ended, and one that was waited for too long. */
function isLostConnection(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(Connection terminated|driver has already been destroyed|timeout exceeded when trying to connect|Query read timeout|Client .* not queryable)/.test(
      error.message,
    )
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
