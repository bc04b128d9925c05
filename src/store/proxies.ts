import type { ClientBase } from 'pg';

import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Database } from './database.ts';

type Connection = Database['pool'] | ClientBase;

/** Half of the interval between two heartbeats, so that an unanswered one is repeated in time. */
const HEARTBEAT_TIMEOUT_MS = 1_000;

/** The lease of a key. */
export interface KeyLease {
  ref: KeyRef;
  /** ms until the lease ends; null where the key has ended or is suspended. */
  leaseMs: number | null;
}

const HEARTBEAT = {
  name: 'valetkey-proxy-heartbeat',
  text: `
    with heartbeat as (
      insert into proxies (id) values ($1) on conflict (id) do update set seen_at = now()
    )
    select ref, case when state = 'active' and ending_at is null and suspended_at is null then extract(epoch from expires_at - now())::float8 end as lease_s
    from keys
    where ref = any($2) or (state <> 'active' and ending_at > now() - interval '1 minute')`,
};

/**
 * Records the heartbeat of a replica, and resolves to the leases of the given keys and of every key that ended in the last minute. Throws
 * `database_unreachable`, within a second.
 */
export async function sendHeartbeat(connection: Connection, proxy: string, refs: readonly string[]): Promise<KeyLease[]> {
  const query = { ...HEARTBEAT, values: [proxy, refs], query_timeout: HEARTBEAT_TIMEOUT_MS };
  const { rows } = await asDatabaseError(connection.query<{ ref: KeyRef; lease_s: number | null }>(query));
  return rows.map(({ ref, lease_s: leaseS }) => ({ ref, leaseMs: leaseS === null ? null : leaseS * 1000 }));
}

/** Removes a replica that shuts down in order and has no open request. Throws `database_unreachable`. */
export async function removeProxy(pool: Database['pool'], proxy: string): Promise<void> {
  const query = { text: 'delete from proxies where id = $1', values: [proxy], query_timeout: HEARTBEAT_TIMEOUT_MS };
  await asDatabaseError(pool.query(query));
}
