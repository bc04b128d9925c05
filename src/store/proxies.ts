import type { ClientBase } from 'pg';

import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Database } from './database.ts';

type Connection = Database['pool'] | ClientBase;

/** Half of the time between two beats: what Postgres does not answer by then is asked again. */
const BEAT_TIMEOUT_MS = 1_000;

/** Of a key with requests in flight. */
export interface Lease {
  ref: KeyRef;
  /** ms until the lease ends; null: the key has ended, or is suspended. */
  leaseMs: number | null;
}

const BEAT = {
  name: 'valetkey-proxy-beat',
  text: `
    with beat as (
      insert into proxies (id) values ($1) on conflict (id) do update set seen_at = now()
    )
    select ref, case when state = 'active' and ending_at is null and suspended_at is null then extract(epoch from expires_at - now())::float8 end as lease_s
    from keys
    where ref = any($2) or (state <> 'active' and ending_at > now() - interval '1 minute')`,
};

/**
 * Records that a replica is there, and returns the leases of the given keys, and every key that ended in the last minute. Throws
 * `database_unreachable`, within a second.
 */
export async function beat(connection: Connection, proxy: string, refs: readonly string[]): Promise<Lease[]> {
  const query = { ...BEAT, values: [proxy, refs], query_timeout: BEAT_TIMEOUT_MS };
  const { rows } = await asDatabaseError(connection.query<{ ref: KeyRef; lease_s: number | null }>(query));
  return rows.map(({ ref, lease_s: leaseS }) => ({ ref, leaseMs: leaseS === null ? null : leaseS * 1000 }));
}

/** Removes a replica that ends in order and has no open request. Throws `database_unreachable`. */
export async function leave(pool: Database['pool'], proxy: string): Promise<void> {
  const query = { text: 'delete from proxies where id = $1', values: [proxy], query_timeout: BEAT_TIMEOUT_MS };
  await asDatabaseError(pool.query(query));
}
