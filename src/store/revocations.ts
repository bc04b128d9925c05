import { sql, type RawBuilder } from 'kysely';

import type { KeyRef } from '../contract/ref.ts';
import type { RevokeTarget } from '../contract/revocation.ts';
import { asDatabaseError, type Db } from './database.ts';
import { KEY_ENDED_CHANNEL, toKeyEnd, type LedgerEnd } from './key-ends.ts';
import type { KeysRow } from './keys.ts';

/** A key whose end is not over. */
export interface BegunEnd {
  ref: KeyRef;
  /** The end had not begun before. */
  isNew: boolean;
}

/**
 * Begins the end of all keys of a target at once, as `beginEnd` does with one: from this moment on the built-in gateway refuses them and
 * cuts their streams. Resolves to every key of the target whose end is not over. Throws `database_unreachable`.
 */
export async function beginEnds(db: Db, owner: string, target: RevokeTarget): Promise<BegunEnd[]> {
  const { rows } = await asDatabaseError(
    sql<{ ref: KeyRef; is_new: boolean }>`
      update keys set
        state = case when state in ('revoked', 'stuck') then state else 'disabled' end,
        ending_at = coalesce(ending_at, now()),
        cause = coalesce(cause, 'revoked')
      where owner = ${owner} and ended_at is null and ${whereTarget(target)}
      returning ref, ending_at = now() as is_new, pg_notify(${KEY_ENDED_CHANNEL}, ref)`.execute(db),
  );
  return rows.map(({ ref, is_new: isNew }) => ({ ref, isNew }));
}

/** Lists the keys of a target whose end has begun and is not over. Throws `database_unreachable`. */
export async function endingKeys(db: Db, owner: string, target: RevokeTarget): Promise<LedgerEnd[]> {
  const { rows } = await asDatabaseError(
    sql<KeysRow>`
      select * from keys where owner = ${owner} and ended_at is null and ending_at is not null and ${whereTarget(target)} order by ref`.execute(
      db,
    ),
  );
  return rows.map(toKeyEnd);
}

/** Returns whether the ledger has any key of a target, ended keys included. Throws `database_unreachable`. */
export async function hasKeys(db: Db, owner: string, target: RevokeTarget): Promise<boolean> {
  const { rows } = await asDatabaseError(sql`select from keys where owner = ${owner} and ${whereTarget(target)} limit 1`.execute(db));
  return rows.length > 0;
}

function whereTarget(target: RevokeTarget): RawBuilder<boolean> {
  if ('ref' in target) return sql`ref = ${target.ref}`;
  return 'jobId' in target ? sql`job_id = ${target.jobId}` : sql`tenant = ${target.tenant}`;
}
