import type { Database } from '../../store/database.ts';
import { KEY_ENDED_CHANNEL } from '../../store/key-transitions.ts';
import { removeProxy, sendHeartbeat } from '../../store/proxies.ts';
import { chargeAbandoned } from '../../store/request-records.ts';
import { subscribe } from '../../store/subscription.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { OpenRequests } from './open-requests.ts';

const HEARTBEAT_INTERVAL_MS = 2_000;
const LEASE_CHECK_INTERVAL_MS = 1_000;
/** A replica without a heartbeat for this long is lost, and another one charges its open requests. */
const REPLICA_LOST_AFTER_S = 15;

export interface WatchOptions {
  database: Database;
  /** The id of this replica. */
  proxy: string;
  open: OpenRequests;
  /** Ends the open rows of this replica that belong to no request in its memory. */
  endUnknown: () => Promise<void>;
}

export interface KeyWatch {
  /** Postgres answered the last heartbeat. */
  readonly isAlive: boolean;
  close(): Promise<void>;
}

/**
 * Interrupts the open requests of a key as soon as the key or its lease ends, the latter even while Postgres is unreachable; sends this
 * replica's heartbeat every two seconds; and charges the open requests of lost replicas. Resolves once it listens. Throws
 * `database_unreachable`.
 */
export async function watchKeys({ database, proxy, open, endUnknown }: WatchOptions, logger?: Logger): Promise<KeyWatch> {
  const stop = new AbortController();
  let reachableSinceMs: number | null = null;
  const updateLeases = async (connection: Parameters<typeof sendHeartbeat>[0]): Promise<void> => {
    try {
      for (const { ref, leaseMs } of await sendHeartbeat(connection, proxy, open.refs())) {
        if (leaseMs === null) open.interruptKey(ref);
        else open.renewLease(ref, leaseMs);
      }
      reachableSinceMs ??= performance.now();
    } catch (error) {
      reachableSinceMs = null;
      throw error;
    }
  };
  // A replica that could not reach Postgres waits before it takes others for lost: they may not have reached it either.
  const chargeLostReplicas = async (): Promise<void> => {
    if (reachableSinceMs === null || performance.now() - reachableSinceMs < REPLICA_LOST_AFTER_S * 1000) return;
    const charged = await chargeAbandoned(database.db, { ref: null, replicaLostAfterS: REPLICA_LOST_AFTER_S });
    await endUnknown();
    if (charged > 0) logger?.warn({ requests: charged }, 'Open requests of a lost gateway were charged by their reservations.');
  };
  await subscribe(database, {
    channel: KEY_ENDED_CHANNEL,
    onNotice: (ref) => open.interruptKey(ref),
    catchUp: updateLeases,
    stop: stop.signal,
    logger,
  });
  let lastHeartbeat = Promise.resolve();
  const heartbeatTimer = setInterval(() => {
    lastHeartbeat = updateLeases(database.pool)
      .then(chargeLostReplicas)
      .catch(() => {});
  }, HEARTBEAT_INTERVAL_MS);
  const leaseTimer = setInterval(() => open.interruptExpired(), LEASE_CHECK_INTERVAL_MS);
  return {
    get isAlive() {
      return reachableSinceMs !== null;
    },
    close: async () => {
      clearInterval(heartbeatTimer);
      clearInterval(leaseTimer);
      stop.abort();
      await lastHeartbeat;
      await removeProxy(database.pool, proxy).catch(() => {});
    },
  };
}
