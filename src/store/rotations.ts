import { sql } from 'kysely';

import type { Overlap } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Db } from './database.ts';

/** Reads how far a job's agent has switched from one key to the next. Throws `database_unreachable`. */
export async function readOverlap(db: Db, old: KeyRef, fresh: KeyRef): Promise<Overlap> {
  const { rows } = await asDatabaseError(
    sql<{ used: boolean; open: number; bound_ms: number; old_used_ms: number | null }>`
      select fresh.first_used_at is not null as used,
             extract(epoch from now() - fresh.bound_at)::float8 * 1000 as bound_ms,
             (select count(*)::int from requests where ref = ${old} and ended_at is null) as open,
             (select extract(epoch from now() - max(started_at))::float8 * 1000 from requests where ref = ${old}) as old_used_ms
      from keys as fresh where ref = ${fresh}`.execute(db),
  );
  const [row] = rows;
  if (row === undefined) throw new Error('The row of a key that was just bound is missing.');
  return { isNewUsed: row.used, oldRequests: row.open, sinceBoundMs: row.bound_ms, sinceOldUsedMs: row.old_used_ms };
}

/** Lists the jobs whose newest key is active and older than `ageMs`, the oldest first. Throws `database_unreachable`. */
export async function keysOlderThan(db: Db, owner: string, ageMs: number, limit: number): Promise<string[]> {
  const { rows } = await asDatabaseError(
    sql<{ job_id: string }>`
      select job_id from keys as key
      where owner = ${owner} and ended_at is null and state = 'active' and minted_at < now() - make_interval(secs => ${ageMs / 1000})
        and not exists (select from keys as newer where newer.job_id = key.job_id and newer.generation > key.generation)
      order by minted_at limit ${limit}`.execute(db),
  );
  return rows.map(({ job_id }) => job_id);
}
