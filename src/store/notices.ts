import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

/** What append_events notifies with the id of the job (migrations.ts). */
const CHANNEL = 'valetkey_events';
const CONNECT_MS = 5_000;
const RECONNECT_MS = 500;

/** Tells those who follow jobs that events were stored. */
export interface Notices {
  /**
   * Calls `wake` after each event of the job that is stored from now on, when some may have been missed, and at `close`.
   * Resolves once it listens, to what ends it. Throws the driver's error where Postgres is not there; from then on it connects
   * again by itself.
   */
  listen(jobId: string, wake: () => void): Promise<() => void>;
  readonly closed: boolean;
  close(): Promise<void>;
}

/** One connection, beside the pool, for all who listen, and only while somebody does. */
export function createNotices(url: string): Notices {
  const listening = new Map<string, Set<() => void>>();
  let connection: Promise<pg.Client> | null = null;
  let connecting = false;
  let closed = false;

  function connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      application_name: 'valetkey events',
    });
    const connected = client
      .connect()
      .then(() => client.query(`listen ${CHANNEL}`))
      .then(() => client);
    connection = connected;
    const isLost = (): void => {
      if (connection === connected) connection = null;
    };
    client.on('error', () => {});
    client.on('notification', ({ payload = '' }) => {
      for (const wake of listening.get(payload) ?? []) wake();
    });
    connected.then(
      () => {
        client.once('end', () => {
          isLost();
          void connectAgain();
        });
        // What was stored while there was no connection told nobody.
        wakeAll();
      },
      () => {
        isLost();
        void client.end();
      },
    );
    return connected;
  }

  async function connectAgain(): Promise<void> {
    if (connecting) return;
    connecting = true;
    for (; connection === null && listening.size > 0; await sleep(RECONNECT_MS)) await connect().catch(() => {});
    connecting = false;
  }

  async function disconnect(): Promise<void> {
    const last = connection;
    connection = null;
    await last?.then((client) => client.end()).catch(() => {});
  }

  function wakeAll(): void {
    for (const wakes of listening.values()) for (const wake of wakes) wake();
  }

  return {
    async listen(jobId, wake) {
      const wakes = listening.get(jobId) ?? new Set();
      listening.set(jobId, wakes.add(wake));
      const stop = (): void => {
        wakes.delete(wake);
        if (wakes.size === 0) listening.delete(jobId);
        if (listening.size === 0) void disconnect();
      };
      try {
        await (connection ?? connect());
        return stop;
      } catch (error) {
        stop();
        // Others may have waited for this attempt in place of one of their own.
        void connectAgain();
        throw error;
      }
    },
    get closed() {
      return closed;
    },
    async close() {
      closed = true;
      wakeAll();
      listening.clear();
      await disconnect();
    },
  };
}
