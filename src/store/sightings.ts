import { sql } from 'kysely';

import type { KeyRef } from '../job/ref.ts';
import type { GatewayName } from '../job/spec.ts';
import { asDatabaseError, type Db } from './database.ts';
import type { LedgerKey } from './keys.ts';

/** A sighting that was not repeated for so long is forgotten. */
const FORGET_AFTER = '1 day';

/**
 * Notes that something was found without a job. Resolves to when it was first found so, null: never before. Throws
 * `database_unreachable`.
 */
export async function sight(db: Db, kind: 'sandbox' | 'gateway_key', id: string): Promise<Date | null> {
  const { rows } = await asDatabaseError(
    sql<{ first_at: Date; is_new: boolean }>`
      insert into sightings (kind, id) values (${kind}, ${id})
      on conflict (kind, id) do update set
        first_at = case when sightings.last_at < now() - ${FORGET_AFTER}::interval then now() else sightings.first_at end, last_at = now()
      returning first_at, first_at = now() as is_new`.execute(db),
  );
  const [row] = rows;
  return row === undefined || row.is_new ? null : row.first_at;
}

/** Forgets one, since it was ended or has a job after all, and those of long ago. Throws `database_unreachable`. */
export async function forgetSighting(db: Db, kind: 'sandbox' | 'gateway_key', id: string): Promise<void> {
  await asDatabaseError(
    sql`
      delete from sightings
      where (kind = ${kind} and id = ${id}) or last_at < now() - ${FORGET_AFTER}::interval`.execute(db),
  );
}

/** A key of the ledger that an inventory looks at. */
export interface CheckedKey extends LedgerKey {
  intendedAt: Date;
  /** Its end has begun, so nothing has to be found out. */
  isEnding: boolean;
  orphanSince: Date | null;
}

/**
 * The keys whose end is not over that were looked at longest ago, at most `limit`, and puts them at the end of the queue: one that
 * fails again and again keeps nobody waiting, and two inventories at once take different ones. Those whose last attempt was just
 * now are left out. Throws `database_unreachable`.
 */
export async function takeKeysToCheck(db: Db, owner: string, limit: number): Promise<CheckedKey[]> {
  const { rows } = await asDatabaseError(
    sql<{
      ref: KeyRef;
      job_id: string;
      tenant: string;
      generation: number;
      gateway: GatewayName;
      intended_at: Date;
      ending_at: Date | null;
      orphan_since: Date | null;
    }>`
      update keys set checked_at = now() where ref in (
        select ref from keys
        where ended_at is null and owner = ${owner} and (retry_at is null or retry_at <= now())
        order by checked_at nulls first limit ${limit} for update skip locked
      ) returning *`.execute(db),
  );
  return rows.map((row) => ({
    ref: row.ref,
    jobId: row.job_id,
    tenant: row.tenant,
    generation: row.generation,
    gateway: row.gateway,
    intendedAt: row.intended_at,
    isEnding: row.ending_at !== null,
    orphanSince: row.orphan_since,
  }));
}

/** Notes since when a key has had no job; with `false` that it has one. Throws `database_unreachable`. */
export async function markOrphan(db: Db, ref: KeyRef, isOrphan: boolean): Promise<void> {
  const since = isOrphan ? sql<Date>`coalesce(orphan_since, now())` : null;
  await asDatabaseError(db.updateTable('keys').set({ orphan_since: since }).where('ref', '=', ref).execute());
}
