import type { Database } from '../store/database.ts';
import { KEY_ENDED_CHANNEL } from '../store/key-ends.ts';
import { endedKeys } from '../store/requests.ts';
import type { Logger } from '../telemetry/log.ts';
import { hearChannel } from './channel.ts';
import type { OpenRequests } from './open-requests.ts';

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
  await hearChannel(database, {
    channel: KEY_ENDED_CHANNEL,
    hear: (ref) => open.endKey(ref),
    catchUp: check,
    stop: stop.signal,
    logger,
  });
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
