import { sql } from 'kysely';

import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Db } from './database.ts';
import { toKeyEnd, type LedgerEnd } from './key-ends.ts';
import type { KeysRow } from './keys.ts';

/** A sighting that was not repeated within this time no longer counts. */
const FORGET_AFTER = '1 day';

/**
 * Records that an item was found orphaned. Resolves to when it was first found orphaned; null where this is the first time. Throws
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

/** Deletes the sighting of an item that was ended or is not orphaned, and all outdated sightings. Throws `database_unreachable`. */
export async function forgetSighting(db: Db, kind: 'sandbox' | 'gateway_key', id: string): Promise<void> {
  await asDatabaseError(
    sql`
      delete from sightings
      where (kind = ${kind} and id = ${id}) or last_at < now() - ${FORGET_AFTER}::interval`.execute(db),
  );
}

/** Reads when an item was first found orphaned; null where it never was. Throws `database_unreachable`. */
export async function firstSighting(db: Db, kind: 'sandbox' | 'gateway_key', id: string): Promise<Date | null> {
  const row = await asDatabaseError(
    db.selectFrom('sightings').select('first_at').where('kind', '=', kind).where('id', '=', id).executeTakeFirst(),
  );
  return row?.first_at ?? null;
}

/** A key of the ledger that a sweep checks. */
export interface CheckedKey extends LedgerEnd {
  intendedAt: Date;
  orphanSince: Date | null;
}

/**
 * Lists the keys whose end is not over, those that were checked longest ago first, at most `limit`, without those whose next attempt is not
 * due. `take` moves them to the end of the queue: a key that keeps failing delays no other, and two concurrent sweeps take different keys.
 * Throws `database_unreachable`.
 */
export async function keysToCheck(db: Db, owner: string, limit: number, { take }: { take: boolean }): Promise<CheckedKey[]> {
  const due = sql`
    from keys where ended_at is null and owner = ${owner} and (retry_at is null or retry_at <= now())
    order by checked_at nulls first limit ${limit}`;
  const taken = sql<KeysRow>`update keys set checked_at = now() where ref in (select ref ${due} for update skip locked) returning *`;
  const { rows } = await asDatabaseError((take ? taken : sql<KeysRow>`select * ${due}`).execute(db));
  return rows.map((row) => ({ ...toKeyEnd(row), intendedAt: row.intended_at, orphanSince: row.orphan_since }));
}

/** Records that a key is orphaned, or with `false` that it is not. The time of the first sighting stays. Throws `database_unreachable`. */
export async function markOrphan(db: Db, ref: KeyRef, isOrphan: boolean): Promise<void> {
  const since = isOrphan ? sql<Date>`coalesce(orphan_since, now())` : null;
  await asDatabaseError(db.updateTable('keys').set({ orphan_since: since }).where('ref', '=', ref).execute());
}
