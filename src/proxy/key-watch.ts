import { setTimeout as sleep } from 'node:timers/promises';

import { asDatabaseError, type Database } from '../store/database.ts';
import { KEY_ENDED_CHANNEL } from '../store/key-ends.ts';
import { endedKeys } from '../store/requests.ts';
import type { Logger } from '../telemetry/log.ts';
import type { OpenRequests } from './open-requests.ts';

const RECONNECT_MS = 500;
/** A notice can be lost, and an expiry has none: the bound for both. */
const CHECK_MS = 5_000;

export interface KeyWatch {
  close(): void;
}

/**
 * Cuts the open requests of a key at the moment it ends. Resolves once it listens; a connection that is lost later is made
 * again, and what was missed meanwhile is looked up. Throws `database_unreachable`.
 */
export async function watchKeys(database: Database, open: OpenRequests, logger?: Logger): Promise<KeyWatch> {
  const stop = new AbortController();
  const check = async (): Promise<void> => {
    for (const ref of await endedKeys(database.pool, open.refs())) open.endKey(ref);
  };

  const listen = async (): Promise<void> => {
    const connection = await asDatabaseError(database.pool.connect());
    const drop = (): void => {
      stop.signal.removeEventListener('abort', drop);
      connection.removeListener('end', lost);
      // Destroyed, not returned to the pool: it would go on listening.
      connection.release(true);
    };
    const lost = (): void => {
      drop();
      void reconnect();
    };
    connection.on('notification', ({ payload }) => open.endKey(payload ?? ''));
    connection.once('end', lost);
    stop.signal.addEventListener('abort', drop);
    try {
      await asDatabaseError(connection.query(`listen ${KEY_ENDED_CHANNEL}`));
      await check();
    } catch (error) {
      drop();
      throw error;
    }
  };

  const reconnect = async (): Promise<void> => {
    logger?.warn('lost the connection that tells of ended keys');
    while (!stop.signal.aborted) {
      try {
        await sleep(RECONNECT_MS, undefined, { signal: stop.signal });
        return await listen();
      } catch {
        // Postgres is down still, or the watch is over.
      }
    }
  };

  await listen();
  const timer = setInterval(() => {
    if (open.refs().length > 0) check().catch(() => {});
  }, CHECK_MS);
  return {
    close: () => {
      clearInterval(timer);
      stop.abort();
    },
  };
}
