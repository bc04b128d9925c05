import { setTimeout as sleep } from 'node:timers/promises';

import { asDatabaseError, type Database } from '../store/database.ts';
import type { Logger } from '../telemetry/log.ts';

const RECONNECT_MS = 500;

export interface ChannelOptions {
  /** Of Postgres' NOTIFY. */
  channel: string;
  /** Hears what each notice says. */
  hear: (payload: string) => void;
  /** Looks up what was missed, once a connection listens. */
  catchUp: () => Promise<void>;
  stop: AbortSignal;
  logger: Logger | undefined;
}

/**
 * Hears a channel until `stop`. Resolves once it listens and has caught up; a connection that is lost later is made again. Throws
 * `database_unreachable`.
 */
export async function hearChannel(database: Database, { channel, hear, catchUp, stop, logger }: ChannelOptions): Promise<void> {
  const listen = async (): Promise<void> => {
    const connection = await asDatabaseError(database.pool.connect());
    const drop = (): void => {
      stop.removeEventListener('abort', drop);
      connection.removeListener('end', lost);
      // Destroyed, not returned to the pool: it would go on listening.
      connection.release(true);
    };
    const lost = (): void => {
      drop();
      void reconnect();
    };
    connection.on('notification', ({ payload }) => hear(payload ?? ''));
    connection.once('end', lost);
    stop.addEventListener('abort', drop);
    try {
      await asDatabaseError(connection.query(`listen ${channel}`));
      await catchUp();
    } catch (error) {
      drop();
      throw error;
    }
  };

  const reconnect = async (): Promise<void> => {
    logger?.warn({ channel }, 'lost the connection that listens');
    while (!stop.aborted) {
      try {
        await sleep(RECONNECT_MS, undefined, { signal: stop });
        return await listen();
      } catch {
        // Postgres is down still, or it is over.
      }
    }
  };

  await listen();
}
