import type { Database } from '../../store/database.ts';
import { KEY_ENDED_CHANNEL } from '../../store/key-ends.ts';
import { beat, leave } from '../../store/proxies.ts';
import { chargeAbandoned } from '../../store/request-records.ts';
import { subscribe } from '../../store/subscription.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { OpenRequests } from './open-requests.ts';

const BEAT_MS = 2_000;
const LEASE_CHECK_MS = 1_000;
/** Without a beat for so long a replica is gone, and what it had in flight is charged by another. */
const GONE_AFTER_S = 15;

export interface WatchOptions {
  database: Database;
  /** The id of this replica. */
  proxy: string;
  open: OpenRequests;
  /** Ends the requests that this replica opened and does not know of. */
  endUnknown: () => Promise<void>;
}

export interface KeyWatch {
  /** Postgres answered the last beat. */
  readonly isAlive: boolean;
  close(): Promise<void>;
}

/**
 * Cuts the open requests of a key at the moment it ends, or its lease does, whatever of Postgres can be reached; says every two seconds that
 * this replica is there; and charges what replicas left behind that are not. Resolves once it listens. Throws `database_unreachable`.
 */
export async function watchKeys({ database, proxy, open, endUnknown }: WatchOptions, logger?: Logger): Promise<KeyWatch> {
  const stop = new AbortController();
  let aliveSinceMs: number | null = null;
  const check = async (connection: Parameters<typeof beat>[0]): Promise<void> => {
    try {
      for (const { ref, leaseMs } of await beat(connection, proxy, open.refs())) {
        if (leaseMs === null) open.endKey(ref);
        else open.renewLease(ref, leaseMs);
      }
      aliveSinceMs ??= performance.now();
    } catch (error) {
      aliveSinceMs = null;
      throw error;
    }
  };
  // Whoever could not reach Postgres for a while must not take its peers, who could not either, for gone.
  const chargeGone = async (): Promise<void> => {
    if (aliveSinceMs === null || performance.now() - aliveSinceMs < GONE_AFTER_S * 1000) return;
    const charged = await chargeAbandoned(database.db, { ref: null, replicaLostAfterS: GONE_AFTER_S });
    await endUnknown();
    if (charged > 0) logger?.warn({ requests: charged }, 'requests of a gateway that is gone are charged by their reservations');
  };
  await subscribe(database, { channel: KEY_ENDED_CHANNEL, onNotice: (ref) => open.endKey(ref), catchUp: check, stop: stop.signal, logger });
  let withLivenessHeartbeat = Promise.resolve();
  const timer = setInterval(() => {
    withLivenessHeartbeat = check(database.pool)
      .then(chargeGone)
      .catch(() => {});
  }, BEAT_MS);
  const leases = setInterval(() => open.endExpired(), LEASE_CHECK_MS);
  return {
    get isAlive() {
      return aliveSinceMs !== null;
    },
    close: async () => {
      clearInterval(timer);
      clearInterval(leases);
      stop.abort();
      await withLivenessHeartbeat;
      await leave(database.pool, proxy).catch(() => {});
    },
  };
}
