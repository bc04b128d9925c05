import { sql } from 'kysely';
import type { ClientBase } from 'pg';

import type { Dialect } from '../contract/dialect.ts';
import { asDatabaseError, type Database, type Db } from './database.ts';

/** The gateways listen on this channel for changes of the credentials. */
export const UPSTREAM_CHANNEL = 'valetkey_upstream';
/** Limits the wait for a server that stopped answering without closing its connections. */
const READ_TIMEOUT_MS = 3_000;

/** Names a stored credential. */
export interface CredentialKey {
  /** The provider that it is for. */
  provider: Dialect;
  /** The tenant that owns it; null for the organization. */
  tenant: string | null;
  name: string;
}

/** One version of a stored credential. */
export interface UpstreamCredential extends CredentialKey {
  version: number;
  sealed: string;
  createdAt: Date;
  /** When a proxy last sent it, at most a minute late; null where none has. */
  lastUsedAt: Date | null;
  /** A refresh of a login stored it. */
  isRefreshed: boolean;
  /** The provider refused to refresh the login. */
  needsLogin: boolean;
}

interface Row {
  dialect: Dialect;
  tenant: string;
  name: string;
  version: number;
  sealed: string;
  created_at: Date;
  last_used_at: Date | null;
  refreshed: boolean;
  needs_login_at: Date | null;
}

/**
 * Stores the next version of a credential and notifies the gateways. Resolves to the version; to null, and stores nothing, where the
 * credential has a version and must be `new`, or has none and must not.
 * @throws `database_unreachable`
 */
export async function storeCredential(db: Db, key: CredentialKey, sealed: string, options: { isNew: boolean }): Promise<number | null> {
  const { provider, tenant, name } = key;
  const stored = db.transaction().execute(async (transaction) => {
    // Without the lock, two concurrent calls would choose the same version.
    await sql`lock table upstream_credentials in exclusive mode`.execute(transaction);
    const { rows } = await sql<{ version: number }>`
      insert into upstream_credentials (dialect, tenant, name, version, sealed)
      select ${provider}, ${columnOf(tenant)}, ${name}, coalesce(max(version), 0) + 1, ${sealed} from upstream_credentials
      where dialect = ${provider} and tenant = ${columnOf(tenant)} and name = ${name}
      having (count(*) = 0) = ${options.isNew}
      returning version, pg_notify(${UPSTREAM_CHANNEL}, '')`.execute(transaction);
    return rows[0]?.version ?? null;
  });
  return asDatabaseError(stored);
}

/**
 * Lists all versions by provider, owner and name, the organization's first, and the newest version of each first.
 * @throws `database_unreachable`
 */
export async function listCredentials(db: Db): Promise<UpstreamCredential[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('upstream_credentials')
      .selectAll()
      .orderBy('dialect')
      .orderBy('tenant')
      .orderBy('name')
      .orderBy('version', 'desc')
      .execute(),
  );
  return rows.map(fromRow);
}

/**
 * Lists the same as `listCredentials`, over a pool or a given connection, within 3 s.
 * @throws `database_unreachable`
 */
export async function readCredentials(connection: Pick<ClientBase, 'query'>): Promise<UpstreamCredential[]> {
  const text = `select dialect, tenant, name, version, sealed, created_at, last_used_at, refreshed, needs_login_at from upstream_credentials
                order by dialect, tenant, name, version desc`;
  const query = { text, query_timeout: READ_TIMEOUT_MS };
  const { rows } = await asDatabaseError(connection.query<Row>(query));
  return rows.map(fromRow);
}

/** Lists the newest version of each of an owner's credentials at a provider, by name. @throws `database_unreachable` */
export async function newestCredentials(db: Db, { provider, tenant }: Omit<CredentialKey, 'name'>): Promise<UpstreamCredential[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('upstream_credentials')
      .selectAll()
      .distinctOn('name')
      .where('dialect', '=', provider)
      .where('tenant', '=', columnOf(tenant))
      .orderBy('name')
      .orderBy('version', 'desc')
      .execute(),
  );
  return rows.map(fromRow);
}

/**
 * Deletes one version of a credential, or without `version` all of them, and notifies the gateways. Resolves to the deleted versions.
 * @throws `database_unreachable`
 */
export async function removeCredential(db: Db, { provider, tenant, name }: CredentialKey, version?: number): Promise<number[]> {
  const { rows } = await asDatabaseError(
    sql<{ version: number }>`
      delete from upstream_credentials
      where dialect = ${provider} and tenant = ${columnOf(tenant)} and name = ${name} and version = coalesce(${version ?? null}, version)
      returning version, pg_notify(${UPSTREAM_CHANNEL}, '')`.execute(db),
  );
  return rows.map((row) => row.version);
}

/** Records that a version was sent to its provider. @throws `database_unreachable` */
export async function recordCredentialUse(
  { pool }: Pick<Database, 'pool'>,
  { provider, tenant, name, version }: CredentialKey & { version: number },
): Promise<void> {
  const text = 'update upstream_credentials set last_used_at = now() where dialect = $1 and tenant = $2 and name = $3 and version = $4';
  const query = { text, values: [provider, columnOf(tenant), name, version], query_timeout: READ_TIMEOUT_MS };
  await asDatabaseError(pool.query<object>(query));
}

/** Maps the tenant to its column, which is part of the primary key and so never null. No tenant has an empty name. */
function columnOf(tenant: string | null): string {
  return tenant ?? '';
}

function fromRow(row: Row): UpstreamCredential {
  return {
    provider: row.dialect,
    tenant: row.tenant === '' ? null : row.tenant,
    name: row.name,
    version: row.version,
    sealed: row.sealed,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    isRefreshed: row.refreshed,
    needsLogin: row.needs_login_at !== null,
  };
}
