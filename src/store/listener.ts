import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import type { Logger } from '../telemetry/log.ts';

/** The limit for a connection until it listens. */
const CONNECT_TIMEOUT_MS = 3_000;
const RECONNECT_DELAY_MS = 250;
/** A connection whose packets are dropped is noticed after both at most. */
const PING_INTERVAL_MS = 2_000;
const PING_TIMEOUT_MS = 2_000;

export interface ListenerOptions {
  /** The channel of Postgres' NOTIFY: an identifier. */
  channel: string;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  /** Receives the payload of each notice. Must not throw. */
  onNotice: (payload: string) => void;
  /**
   * Looks up what was missed, each time that a connection listens. The connection is the one that listens: those of a pool can be as
   * broken as the one that was lost. The connection is closed where it rejects, and made again.
   */
  catchUp: (connection: pg.ClientBase) => Promise<void>;
  /** Ends it for good. */
  stop: AbortSignal;
  logger?: Logger | undefined;
}

/** Listens to one channel until it is stopped, on a connection of its own. */
export interface Listener {
  /**
   * Resolves when a connection listens and has caught up: at once where one does. Rejects with the driver's error when the attempt
   * that is under way fails; the next one follows by itself.
   */
  ready(): Promise<void>;
}

/** A connection that listens. */
interface Connection {
  client: pg.Client;
  /** Resolves when it is closed, whoever closed it. */
  closed: Promise<void>;
  destroy(): void;
}

/**
 * Listens to a channel. A connection that is lost, or that does not answer a ping within 2 s, is destroyed and made again, and what
 * was missed meanwhile is looked up.
 */
export function startListener(url: string | undefined, options: ListenerOptions): Listener {
  const { channel, catchUp, stop, logger } = options;
  let attempt = newAttempt();

  const listenOnce = async (): Promise<void> => {
    const connection = await connect(url, options);
    try {
      // A connection that is lost meanwhile must not wait for queries that catch up on others.
      await Promise.race([catchUp(connection.client), connection.closed.then(() => Promise.reject(new Error('Connection terminated')))]);
      attempt.resolve();
      await connection.closed;
    } finally {
      connection.destroy();
    }
    attempt = newAttempt();
    if (!stop.aborted) logger?.warn({ channel }, 'The connection that listens to Postgres was lost.');
  };
  const listen = async (): Promise<void> => {
    while (!stop.aborted) {
      try {
        await listenOnce();
      } catch (error) {
        const failed = attempt;
        attempt = newAttempt();
        failed.reject(error);
      }
      await sleep(RECONNECT_DELAY_MS, undefined, { signal: stop }).catch(() => {});
    }
    attempt.reject(new Error('Connection terminated'));
  };
  void listen();
  return { ready: () => attempt.promise };
}

/** Nobody may be waiting for it when it fails. */
function newAttempt(): PromiseWithResolvers<void> {
  const attempt = Promise.withResolvers<void>();
  attempt.promise.catch(() => {});
  return attempt;
}

async function connect(url: string | undefined, { channel, applicationName, onNotice, stop }: ListenerOptions): Promise<Connection> {
  // The driver's own way to close waits for the server, which may be unreachable.
  const socket = new Socket();
  const destroy = (): void => void socket.destroy();
  const client = new pg.Client({ connectionString: url, application_name: applicationName, stream: () => socket });
  const closed = new Promise<void>((resolve) => client.once('end', resolve));
  client.on('error', destroy);
  client.on('notification', ({ payload = '' }) => onNotice(payload));
  stop.addEventListener('abort', destroy);
  void closed.then(() => stop.removeEventListener('abort', destroy));
  const timer = setTimeout(destroy, CONNECT_TIMEOUT_MS);
  try {
    await client.connect();
    await client.query(`listen ${channel}`);
  } catch (error) {
    destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  void pingUntilLost(client, closed).finally(destroy);
  return { client, closed, destroy };
}

/** Resolves when a ping fails, or once the connection is closed. */
async function pingUntilLost(client: pg.Client, closed: Promise<void>): Promise<void> {
  const over = new AbortController();
  void closed.then(() => over.abort());
  try {
    for (;;) {
      await sleep(PING_INTERVAL_MS, undefined, { signal: over.signal });
      const ping: pg.QueryConfig & { query_timeout: number } = { text: 'select 1', query_timeout: PING_TIMEOUT_MS };
      await client.query(ping);
    }
  } catch {
    // The connection is of no use any more.
  }
}
