import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** Whose a job is; null where it has neither a key nor a settlement. @throws `database_unreachable` */
export async function readJobTenant(db: Db, jobId: string): Promise<string | null> {
  const { rows } = await asDatabaseError(
    sql<{ tenant: string }>`
      (select tenant from keys where job_id = ${jobId} limit 1) union all (select tenant from settlements where job_id = ${jobId}) limit 1`.execute(
      db,
    ),
  );
  return rows[0]?.tenant ?? null;
}

/** Whether the ledger has or had a key of a tenant. @throws `database_unreachable` */
export async function isTenantKnown(db: Db, tenant: string): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql<{ known: boolean }>`
      select exists (select from keys where tenant = ${tenant}) or exists (select from settlements where tenant = ${tenant}) as known`.execute(
      db,
    ),
  );
  return rows[0]?.known === true;
}

/** Every tenant that the ledger has a key of. @throws `database_unreachable` */
export async function listTenants(db: Db): Promise<string[]> {
  const rows = await asDatabaseError(db.selectFrom('keys').select('tenant').distinct().execute());
  return rows.map(({ tenant }) => tenant);
}
