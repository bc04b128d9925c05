import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import type { Logger } from '../telemetry/log.ts';
import { notePlace } from './place.ts';

/** Limits the time until a new connection listens. */
const CONNECT_TIMEOUT_MS = 3_000;
const RECONNECT_DELAY_MS = 250;
/** A connection whose packets are dropped is detected after the interval plus the timeout at most. */
const PING_INTERVAL_MS = 2_000;
const PING_TIMEOUT_MS = 2_000;

export interface ListenerOptions {
  /** The channel of Postgres' NOTIFY: an identifier. */
  channel: string;
  /** The connection's name in pg_stat_activity. */
  applicationName: string;
  /** Receives the payload of each notice. Must not throw. */
  onNotice: (payload: string) => void;
  /**
   * Reads what was missed, each time that a connection starts to listen. It gets that connection: those of a pool can be as broken as the
   * one that was lost. Where it rejects, the connection is closed and opened again.
   */
  catchUp: (connection: pg.ClientBase) => Promise<void>;
  /** Ends the listener for good. */
  stop: AbortSignal;
  logger?: Logger | undefined;
}

/** Listens to one channel on a connection of its own, until it is stopped. */
export interface Listener {
  /**
   * Resolves when a connection listens and has caught up. Rejects with the driver's error when the current attempt fails; the listener
   * starts the next attempt on its own.
   */
  ready(): Promise<void>;
}

/** A listening connection. */
interface Connection {
  client: pg.Client;
  /** Resolves when the connection is closed by either side. */
  closed: Promise<void>;
  destroy(): void;
}

/**
 * Starts to listen to a channel. A connection that is lost, or does not answer a ping within 2 s, is replaced, and `catchUp` reads what was
 * missed meanwhile.
 */
export function startListener(url: string | undefined, options: ListenerOptions): Listener {
  const { channel, catchUp, stop, logger } = options;
  let attempt = newAttempt();

  const listenOnce = async (): Promise<void> => {
    const connection = await connect(url, options);
    try {
      // `catchUp` may also query other connections: it must not delay the replacement of a lost one.
      await Promise.race([catchUp(connection.client), connection.closed.then(() => Promise.reject(new Error('Connection terminated')))]);
      attempt.resolve();
      await connection.closed;
    } finally {
      connection.destroy();
    }
    attempt = newAttempt();
    if (!stop.aborted) logger?.warn({ channel }, 'The listening connection to Postgres was lost.');
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

/** Creates the promise of an attempt. Its rejection is handled here, since nobody may be waiting for it. */
function newAttempt(): PromiseWithResolvers<void> {
  const attempt = Promise.withResolvers<void>();
  attempt.promise.catch(() => {});
  return attempt;
}

async function connect(url: string | undefined, { channel, applicationName, onNotice, stop }: ListenerOptions): Promise<Connection> {
  // The driver's own `end` waits for the server, which may be unreachable.
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
    notePlace(error, client);
    throw error;
  } finally {
    clearTimeout(timer);
  }
  void pingUntilLost(client, closed).finally(destroy);
  return { client, closed, destroy };
}

/** Pings the connection; resolves when a ping fails or the connection is closed. */
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
    // The caller destroys the connection.
  }
}
