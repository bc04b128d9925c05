import { sql } from 'kysely';

import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Db } from './database.ts';
import { toKeyEnd, type LedgerEnd } from './key-ends.ts';
import type { KeysRow } from './keys.ts';

/** A sighting that was not repeated for so long is forgotten. */
const FORGET_AFTER = '1 day';

/**
 * Notes that something was found without a job. Resolves to when it was first found so, null: never before. Throws
 * `database_unreachable`.
 */
export async function recordSighting(db: Db, kind: 'sandbox' | 'gateway_key', id: string): Promise<Date | null> {
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

/** When it was first found without a job; null: never. Throws `database_unreachable`. */
export async function firstSighting(db: Db, kind: 'sandbox' | 'gateway_key', id: string): Promise<Date | null> {
  const row = await asDatabaseError(
    db.selectFrom('sightings').select('first_at').where('kind', '=', kind).where('id', '=', id).executeTakeFirst(),
  );
  return row?.first_at ?? null;
}

/** A key of the ledger that an inventory looks at. */
export interface CheckedKey extends LedgerEnd {
  intendedAt: Date;
  orphanSince: Date | null;
}

/**
 * The keys whose end is not over that were looked at longest ago, at most `limit`; those are left out whose last attempt was just now.
 * `take` puts them at the end of the queue: one that fails again and again keeps nobody waiting, and two inventories at once take
 * different ones. Throws `database_unreachable`.
 */
export async function keysToCheck(db: Db, owner: string, limit: number, { take }: { take: boolean }): Promise<CheckedKey[]> {
  const due = sql`
    from keys where ended_at is null and owner = ${owner} and (retry_at is null or retry_at <= now())
    order by checked_at nulls first limit ${limit}`;
  const taken = sql<KeysRow>`update keys set checked_at = now() where ref in (select ref ${due} for update skip locked) returning *`;
  const { rows } = await asDatabaseError((take ? taken : sql<KeysRow>`select * ${due}`).execute(db));
  return rows.map((row) => ({ ...toKeyEnd(row), intendedAt: row.intended_at, orphanSince: row.orphan_since }));
}

/** Notes since when a key has had no job; with `false` that it has one. Throws `database_unreachable`. */
export async function markOrphan(db: Db, ref: KeyRef, isOrphan: boolean): Promise<void> {
  const since = isOrphan ? sql<Date>`coalesce(orphan_since, now())` : null;
  await asDatabaseError(db.updateTable('keys').set({ orphan_since: since }).where('ref', '=', ref).execute());
}
