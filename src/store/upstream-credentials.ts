import { sql } from 'kysely';
import type { ClientBase } from 'pg';

import type { Dialect } from '../contract/dialect.ts';
import { asDatabaseError, type Db } from './database.ts';

/** The gateways listen on this channel for changes of the credentials. */
export const UPSTREAM_CHANNEL = 'valetkey_upstream';
/** Limits the wait for a server that stopped answering without closing its connections. */
const READ_TIMEOUT_MS = 3_000;

/** The dialect of the provider that a credential is for, and the tenant whose requests it pays for. */
export interface CredentialOwner {
  dialect: Dialect;
  /** Null for the organization's credential, which applies to each tenant without its own. */
  tenant: string | null;
}

/** One version of a credential of the gateway at a provider. */
export interface UpstreamCredential extends CredentialOwner {
  version: number;
  sealed: string;
  createdAt: Date;
}

interface Row {
  dialect: Dialect;
  tenant: string;
  version: number;
  sealed: string;
  created_at: Date;
}

/**
 * Stores a credential as the next version of its owner's, notifies the gateways, and resolves to the version.
 * @throws `database_unreachable`
 */
export async function addUpstreamCredential(db: Db, { dialect, tenant }: CredentialOwner, sealed: string): Promise<number> {
  const stored = db.transaction().execute(async (transaction) => {
    // Without the lock, two concurrent calls would choose the same version.
    await sql`lock table upstream_credentials in exclusive mode`.execute(transaction);
    const { rows } = await sql<{ version: number }>`
      insert into upstream_credentials (dialect, tenant, version, sealed)
      select ${dialect}, ${columnOf(tenant)}, coalesce(max(version), 0) + 1, ${sealed} from upstream_credentials
      where dialect = ${dialect} and tenant = ${columnOf(tenant)}
      returning version, pg_notify(${UPSTREAM_CHANNEL}, '')`.execute(transaction);
    return rows[0]?.version;
  });
  const version = await asDatabaseError(stored);
  if (version === undefined) throw new Error('The insert of a credential returned no version.');
  return version;
}

/**
 * Lists all versions by dialect and tenant, the organization's first, and the newest version of each first.
 * @throws `database_unreachable`
 */
export async function listUpstreamCredentials(db: Db): Promise<UpstreamCredential[]> {
  const rows = await asDatabaseError(
    db.selectFrom('upstream_credentials').selectAll().orderBy('dialect').orderBy('tenant').orderBy('version', 'desc').execute(),
  );
  return rows.map(fromRow);
}

/**
 * Lists the same as `listUpstreamCredentials`, over a pool or a given connection, within 3 s.
 * @throws `database_unreachable`
 */
export async function readUpstreamCredentials(connection: Pick<ClientBase, 'query'>): Promise<UpstreamCredential[]> {
  const text = 'select dialect, tenant, version, sealed, created_at from upstream_credentials order by dialect, tenant, version desc';
  const query = { text, query_timeout: READ_TIMEOUT_MS };
  const { rows } = await asDatabaseError(connection.query<Row>(query));
  return rows.map(fromRow);
}

/**
 * Deletes a version and notifies the gateways; resolves to false where it does not exist.
 * @throws `database_unreachable`
 */
export async function forgetUpstreamCredential(db: Db, { dialect, tenant }: CredentialOwner, version: number): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql`
      delete from upstream_credentials where dialect = ${dialect} and tenant = ${columnOf(tenant)} and version = ${version}
      returning pg_notify(${UPSTREAM_CHANNEL}, '')`.execute(db),
  );
  return rows.length > 0;
}

/** Maps the tenant to its column, which is part of the primary key and so never null. No tenant has an empty name. */
function columnOf(tenant: string | null): string {
  return tenant ?? '';
}

function fromRow({ dialect, tenant, version, sealed, created_at: createdAt }: Row): UpstreamCredential {
  return { dialect, tenant: tenant === '' ? null : tenant, version, sealed, createdAt };
}
