import { sql } from 'kysely';

import type { Dialect } from '../job/dialect.ts';
import { asDatabaseError, type Db } from './database.ts';

/** Gateways listen here for a change of the credentials. */
export const UPSTREAM_CHANNEL = 'valetkey_upstream';

/** One version of the gateway's own credential at a provider. */
export interface UpstreamCredential {
  dialect: Dialect;
  version: number;
  sealed: string;
  createdAt: Date;
}

/** Stores a credential as the next version of its dialect, tells the gateways, and resolves to the version. Throws `database_unreachable`. */
export async function addUpstreamCredential(db: Db, dialect: Dialect, sealed: string): Promise<number> {
  const stored = db.transaction().execute(async (transaction) => {
    // Two at once would count the same version.
    await sql`lock table upstream_credentials in exclusive mode`.execute(transaction);
    const { rows } = await sql<{ version: number }>`
      insert into upstream_credentials (dialect, version, sealed)
      select ${dialect}, coalesce(max(version), 0) + 1, ${sealed} from upstream_credentials where dialect = ${dialect}
      returning version, pg_notify(${UPSTREAM_CHANNEL}, '')`.execute(transaction);
    return rows[0]?.version;
  });
  const version = await asDatabaseError(stored);
  if (version === undefined) throw new Error('a credential that was just stored has no version');
  return version;
}

/** All versions, of each dialect the newest first. Throws `database_unreachable`. */
export async function listUpstreamCredentials(db: Db): Promise<UpstreamCredential[]> {
  const rows = await asDatabaseError(
    db.selectFrom('upstream_credentials').selectAll().orderBy('dialect').orderBy('version', 'desc').execute(),
  );
  return rows.map(({ dialect, version, sealed, created_at: createdAt }) => ({ dialect, version, sealed, createdAt }));
}

/** Deletes a version and tells the gateways; false where it is not there. Throws `database_unreachable`. */
export async function forgetUpstreamCredential(db: Db, dialect: Dialect, version: number): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql`
      delete from upstream_credentials where dialect = ${dialect} and version = ${version}
      returning pg_notify(${UPSTREAM_CHANNEL}, '')`.execute(db),
  );
  return rows.length > 0;
}
