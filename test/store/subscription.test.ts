/** A subscriber hears each notice or catches up on it, also where its connection goes silent without being closed. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { openDatabase, type Database } from '../../src/store/database.ts';
import { createNotices } from '../../src/store/notices.ts';
import { subscribe, type SubscriptionOptions } from '../../src/store/subscription.ts';
import { newDatabase } from '../helpers/database.ts';

/** From a connection that goes silent to a new one that has caught up. */
const NOTICED_WITHIN_MS = 5_500;

let relay: Relay;
/** Reaches Postgres over the relay. */
let database: Database;
/** Reaches it without. */
let writer: Database;
let heard: string[];
let catchUps: number;
let stop: AbortController;
const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));

beforeEach(async () => {
  const url = await newDatabase();
  relay = await startRelay(url);
  database = openDatabase(relay.url);
  writer = openDatabase(url);
  heard = [];
  catchUps = 0;
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await Promise.all([database.close(), writer.close()]);
  await relay.close();
  if (unhandled.length > 0) throw new Error('a rejection was not handled', { cause: unhandled[0] });
});

const catchUp = async (): Promise<void> => void (catchUps += 1);
const onNotice = (payload: string): void => void heard.push(payload);

async function start(change: Partial<SubscriptionOptions> = {}): Promise<void> {
  await subscribe(database, { channel: 'test_channel', onNotice, catchUp, stop: stop.signal, logger: undefined, ...change });
}

const notify = (payload: string) => writer.pool.query(`select pg_notify('test_channel', $1)`, [payload]);

/** How many connections listen, as Postgres sees it. */
async function listening(): Promise<number> {
  const { rows } = await writer.pool.query<{ pid: number }>(
    `select pid from pg_stat_activity where datname = current_database() and application_name = 'valetkey subscription'`,
  );
  return rows.length;
}

test('a subscriber hears what is notified from the moment that subscribe resolves, and caught up before', async () => {
  await start();
  expect(catchUps).toBe(1);
  await notify('first');
  await expect.poll(() => heard, { timeout: 500, interval: 5 }).toEqual(['first']);
  expect(database.pool.totalCount).toBe(0);
});

test('a connection that goes silent is replaced within seconds, and what was missed is caught up', async () => {
  await writer.pool.query('create table missed (payload text)');
  const seen: string[] = [];
  await start({
    catchUp: async (connection) => {
      const { rows } = await connection.query<{ payload: string }>('select payload from missed');
      seen.push(...rows.map(({ payload }) => payload));
    },
  });
  relay.silence();
  const sinceMs = performance.now();
  await writer.pool.query(`insert into missed values ('in the hole')`);
  await notify('in the hole');
  relay.restore();
  await expect.poll(() => seen, { timeout: NOTICED_WITHIN_MS, interval: 20 }).toEqual(['in the hole']);
  expect(performance.now() - sinceMs).toBeGreaterThan(1_000);
  expect(heard).toEqual([]);
  await notify('afterwards');
  await expect.poll(() => heard, { timeout: 500 }).toEqual(['afterwards']);
});

test('where new connections are silent, too, the subscriber tries on, and catches up soon after one is answered', async () => {
  await start();
  relay.silence();
  await new Promise((resolve) => setTimeout(resolve, 9_000));
  expect(catchUps).toBe(1);
  relay.restore();
  await expect.poll(() => catchUps, { timeout: 4_000, interval: 20 }).toBe(2);
});

test('subscribe rejects within seconds where nothing answers, and tries no more', async () => {
  relay.silence();
  const sinceMs = performance.now();
  await expect(start()).rejects.toMatchObject({ code: 'database_unreachable' });
  expect(performance.now() - sinceMs).toBeLessThan(3_500);
  relay.restore();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(await listening()).toBe(0);
});

test('a connection that Postgres closes is made again at once', async () => {
  await start();
  for (const round of [2, 3]) {
    await writer.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    );
    await expect.poll(() => catchUps, { timeout: 1_500, interval: 20 }).toBe(round);
  }
  await notify('afterwards');
  await expect.poll(() => heard, { timeout: 500 }).toEqual(['afterwards']);
});

test('where catching up fails, or its connection goes silent meanwhile, another connection is tried', async () => {
  await start({
    catchUp: async (connection) => {
      catchUps += 1;
      if (catchUps === 2) throw new Error('made up');
      if (catchUps === 3) {
        relay.silence();
        await connection.query('select 1');
      }
    },
  });
  relay.silence();
  relay.restore();
  await expect.poll(() => catchUps, { timeout: 6_000 }).toBe(3);
  relay.restore();
  await expect.poll(() => catchUps, { timeout: NOTICED_WITHIN_MS }).toBe(4);
  await notify('afterwards');
  await expect.poll(() => heard, { timeout: 500 }).toEqual(['afterwards']);
});

test('once it is stopped nothing listens, also where it was connecting', async () => {
  await start();
  expect(await listening()).toBe(1);
  stop.abort();
  await expect.poll(listening, { timeout: 1_000 }).toBe(0);
  stop = new AbortController();
  const starting = start();
  stop.abort();
  await expect(starting).rejects.toMatchObject({ code: 'database_unreachable' });
  await expect.poll(listening, { timeout: 1_000 }).toBe(0);
});

test('followers of events are woken after their connection went silent', async () => {
  const notices = createNotices(relay.url);
  let woken = 0;
  const end = await notices.listen('job', () => (woken += 1));
  const before = woken;
  relay.silence();
  relay.restore();
  await expect.poll(() => woken, { timeout: NOTICED_WITHIN_MS }).toBeGreaterThan(before);
  end();
  await notices.close();
});

interface Relay {
  url: string;
  /** Forwards nothing more, and closes nothing. New connections are accepted, and nothing else. */
  silence(): void;
  /** New connections are forwarded; those that went silent stay so. */
  restore(): void;
  close(): Promise<void>;
}

/** A relay between a client and Postgres that can drop packets, as a firewall does. */
async function startRelay(databaseUrl: string): Promise<Relay> {
  const { hostname, port } = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let silent = false;
  const add = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    add(near);
    if (silent) return;
    const far = add(connect(Number(port), hostname));
    let lost = false;
    const silence = (): void => void (lost = true);
    silencing.add(silence);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('data', (chunk) => lost || other.write(chunk));
      one.on('close', () => {
        silencing.delete(silence);
        if (!lost) other.destroy();
      });
    }
  });
  const silencing = new Set<() => void>();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = new URL(databaseUrl);
  url.port = typeof address === 'object' && address !== null ? String(address.port) : '';
  return {
    url: url.href,
    silence: () => {
      silent = true;
      for (const silence of silencing) silence();
    },
    restore: () => {
      silent = false;
    },
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
