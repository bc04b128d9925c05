import { asDatabaseError, type Database } from './database.ts';
import { UPSTREAM_CHANNEL, type CredentialKey } from './upstream-credentials.ts';

type Pool = Pick<Database, 'pool'>;

/** Limits the wait for a server that stopped answering without closing its connections. */
const QUERY_TIMEOUT_MS = 5_000;

/** One version of a stored login. */
export interface LoginVersion extends CredentialKey {
  version: number;
}

const OF_VERSION = 'dialect = $1 and tenant = $2 and name = $3 and version = $4';
const IS_NEWEST =
  'not exists (select from upstream_credentials newer where (newer.dialect, newer.tenant, newer.name) = ($1, $2, $3) and newer.version > $4)';

/**
 * Leases the refresh of a login's newest version to one refresher, by the clock of Postgres. Resolves to false where another has it, the
 * provider has refused the login, or the version is not the newest. @throws `database_unreachable`
 */
export async function acquireRefresh(database: Pool, login: LoginVersion, refresher: string, leaseMs: number): Promise<boolean> {
  const text = `update upstream_credentials set refresher = $5, refresher_until = now() + make_interval(secs => $6)
                where ${OF_VERSION} and ${IS_NEWEST} and needs_login_at is null
                  and (refresher_until is null or refresher_until < now() or refresher = $5)`;
  return (await run(database, text, [...valuesOf(login), refresher, leaseMs / 1000])) > 0;
}

/** Ends the lease of a refresher that failed: nobody refreshes the login before `afterMs`. @throws `database_unreachable` */
export async function deferRefresh(database: Pool, login: LoginVersion, refresher: string, afterMs: number): Promise<void> {
  const text = `update upstream_credentials set refresher = null, refresher_until = now() + make_interval(secs => $6)
                where ${OF_VERSION} and refresher = $5`;
  await run(database, text, [...valuesOf(login), refresher, afterMs / 1000]);
}

/**
 * Stores what a refresh of a version returned, as the next version, and notifies the gateways. The version itself stays as a record, those
 * before it are deleted: their refresh tokens are used up. Resolves to false, and stores nothing, where the version is gone or not the
 * newest. The lease is not asked for: whoever has the new tokens has the only valid ones. @throws `database_unreachable`
 */
export async function storeRefreshedLogin({ pool }: Pool, login: LoginVersion, sealed: string): Promise<boolean> {
  const store = async (): Promise<boolean> => {
    const connection = await pool.connect();
    try {
      await connection.query('begin');
      // The same lock as of `storeCredential`: without it, two writers would choose the same version.
      await connection.query('lock table upstream_credentials in exclusive mode');
      const { rowCount } = await connection.query(
        `insert into upstream_credentials (dialect, tenant, name, version, sealed, refreshed)
         select dialect, tenant, name, version + 1, $5, true from upstream_credentials where ${OF_VERSION} and ${IS_NEWEST}
         returning pg_notify('${UPSTREAM_CHANNEL}', '')`,
        [...valuesOf(login), sealed],
      );
      await connection.query(
        'delete from upstream_credentials where dialect = $1 and tenant = $2 and name = $3 and version < $4',
        valuesOf(login),
      );
      await connection.query('commit');
      connection.release();
      return rowCount === 1;
    } catch (error) {
      // Its transaction ends with the connection.
      connection.release(true);
      throw error;
    }
  };
  return asDatabaseError(store());
}

/**
 * Records that the provider refuses to refresh a login, and notifies the gateways. Resolves to false where the version is not the newest.
 * @throws `database_unreachable`
 */
export async function markNeedsLogin(database: Pool, login: LoginVersion): Promise<boolean> {
  const text = `update upstream_credentials set needs_login_at = now(), refresher = null, refresher_until = null
                where ${OF_VERSION} and ${IS_NEWEST} returning pg_notify('${UPSTREAM_CHANNEL}', '')`;
  return (await run(database, text, valuesOf(login))) > 0;
}

/** Reads which version of a login is the newest, and whether it needs a new login; null where there is none. @throws `database_unreachable` */
export async function newestLogin(
  { pool }: Pool,
  { provider, tenant, name }: CredentialKey,
): Promise<{ version: number; needsLogin: boolean } | null> {
  const text = `select version, needs_login_at is not null as needs_login from upstream_credentials
                where dialect = $1 and tenant = $2 and name = $3 order by version desc limit 1`;
  const query = { text, values: [provider, tenant ?? '', name], query_timeout: QUERY_TIMEOUT_MS };
  const { rows } = await asDatabaseError(pool.query<{ version: number; needs_login: boolean }>(query));
  const [row] = rows;
  return row === undefined ? null : { version: row.version, needsLogin: row.needs_login };
}

function valuesOf({ provider, tenant, name, version }: LoginVersion): unknown[] {
  return [provider, tenant ?? '', name, version];
}

async function run({ pool }: Pool, text: string, values: unknown[]): Promise<number> {
  const query = { text, values, query_timeout: QUERY_TIMEOUT_MS };
  const { rowCount } = await asDatabaseError(pool.query<object>(query));
  return rowCount ?? 0;
}
