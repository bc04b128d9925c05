import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { begin, call, headOf } from './call.ts';
import { check, firstOf, refusedWith, type Case } from './case.ts';
import type { Gateway } from './gateway.ts';
import { open } from './raw.ts';
import { startRelay, type Relay } from './relay.ts';
import { bodyFor, bounds } from './requests.ts';
import type { Key, Rig } from './rig.ts';

const PATH = '/v1/messages';
const LEASE_S = 6;
/** Of what measures it. */
const SLACK_MS = 500;
const ENDED = 'The key has ended.';

/** When a key's end takes hold: M7, M8 and minors of the review. */
export const revocation: Case[] = [
  ...([true, false] as const).map((isRevoked) => ({
    name: `M8: Postgres swallows everything${isRevoked ? ' and the key is revoked' : ''}: a stream ends within 5 s of its lease`,
    isSlow: true,
    run: async (rig: Rig) =>
      behindRelay(rig, async (relay, gateway) => {
        const key = await rig.mint({ expiresInMs: LEASE_S * 1_000 });
        const startedMs = performance.now();
        const stream = await beginStream(gateway, key);
        await sleep(1_000);
        relay.swallowAll();
        if (isRevoked) await rig.revoke(key);
        await closed(stream, 30_000);
        const seconds = (performance.now() - startedMs) / 1_000;
        return check(
          seconds * 1_000 <= (LEASE_S + 5) * 1_000 + SLACK_MS,
          `it ends after ${seconds.toFixed(1)} s, with a lease of ${LEASE_S} s`,
        );
      }),
  })),
  {
    name: 'a connection that listens and is half open is noticed: a revocation takes hold within 5 s, and the one after it at once',
    isSlow: true,
    run: async (rig) =>
      behindRelay(rig, async (relay, gateway) => {
        const [first, second] = [await rig.mint(), await rig.mint()];
        relay.swallowListening();
        const firstMs = await cutAfterMs(rig, gateway, first);
        await sleep(6_000);
        const secondMs = await cutAfterMs(rig, gateway, second);
        return firstOf(
          () => check(firstMs <= 5_000 + SLACK_MS, `the first stream ends after ${Math.round(firstMs)} ms`),
          () => check(secondMs <= 1_000, `the second stream ends after ${Math.round(secondMs)} ms`),
        );
      }),
  },
  {
    name: '30 streams of a revoked key are cut within a second, and it starts no more',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint();
      const streams = await Promise.all(Array.from({ length: 30 }, async () => beginStream(rig.gateway, key)));
      await rig.revoke(key);
      const startedMs = performance.now();
      await Promise.all(streams.map(async (stream) => closed(stream, 10_000)));
      const ms = performance.now() - startedMs;
      return firstOf(
        () => check(ms < 1_000, `cut after ${Math.round(ms)} ms`),
        async () => refusedWith(await rig.ask({ path: PATH, key: key.secret, body: bodyFor(PATH) }), 401, 'key_refused'),
      );
    },
  },
  {
    name: 'a key that is revoked while its request waits for its budget is told that it has ended',
    run: async (rig) => {
      const key = await rig.mint({ budgetUsd: 0.02 });
      const body = (way: string, stream: boolean): object => bodyFor(PATH, way, { ...bounds(PATH, 100, 1_000), stream });
      const first = begin(rig.gateway, { path: PATH, key: key.secret, body: body('endless', true) });
      await once(first, 'response');
      const second = rig.ask({ path: PATH, key: key.secret, body: body('plain', false) });
      await sleep(500);
      await rig.revoke(key);
      const answer = await second;
      first.destroy();
      return refusedWith(answer, 401, 'key_refused', ENDED);
    },
  },
  {
    name: 'a body that comes slowly is cut when its key is revoked',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint();
      const socket = open(rig.gateway);
      const head = `POST ${PATH} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer ${key.secret}\r\ncontent-length: 1000\r\n\r\n{`;
      const answered = new Promise<void>((resolve) => socket.once('data', () => resolve()).once('close', () => resolve()));
      socket.write(head);
      await sleep(500);
      await rig.revoke(key);
      const startedMs = performance.now();
      await Promise.race([answered, sleep(8_000)]);
      socket.destroy();
      return firstOf(
        () => check(performance.now() - startedMs < 5_000, 'it is still read after 5 s'),
        async () =>
          check(
            (await rig.rows(key, 2_000)).every((row) => !row.is_open),
            'its row stays open',
          ),
      );
    },
  },
  {
    name: 'a key whose lease is over is refused, and its stream ends within 5 s',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint({ expiresInMs: 1_500 });
      const startedMs = performance.now();
      const stream = await beginStream(rig.gateway, key);
      await closed(stream, 15_000);
      const ms = performance.now() - startedMs;
      return firstOf(
        () => check(ms < 6_500 + SLACK_MS, `its stream ends after ${Math.round(ms)} ms`),
        async () => refusedWith(await rig.ask({ path: PATH, key: key.secret, body: bodyFor(PATH) }), 401, 'key_refused'),
      );
    },
  },
  {
    name: 'M7: 1,000 requests with a revoked key write no row',
    run: async (rig) => {
      const key = await rig.mint();
      await rig.revoke(key);
      await useRevoked(rig.gateway, key, 1_000);
      const { length } = await rig.rows(key, 1_000);
      return check(length === 0, `${length} rows`);
    },
  },
  {
    name: 'M7: requests with a revoked key are counted on the key within 70 s',
    isSlow: true,
    run: async (rig) => {
      const key = await rig.mint();
      await rig.revoke(key);
      const until = Date.now() + 70_000;
      await useRevoked(rig.gateway, key, 50);
      for (;;) {
        const text = 'select refused_requests::int as refused, last_refused_at is not null as "isSeen" from keys where ref = $1';
        const { rows } = await rig.database.pool.query<{ refused: number; isSeen: boolean }>(text, [key.ref]);
        const [row] = rows;
        if (row !== undefined && row.refused > 0 && row.isSeen) return null;
        if (Date.now() > until) return `refused_requests is ${row?.refused}`;
        await sleep(2_000);
      }
    },
  },
];

async function behindRelay(rig: Rig, work: (relay: Relay, gateway: Gateway) => Promise<string | null>): Promise<string | null> {
  const relay = await startRelay(rig.databaseUrl);
  try {
    const gateway = await rig.startOwn({ env: { DATABASE_URL: relay.url } });
    return await work(relay, gateway);
  } finally {
    relay.pass();
    await rig.stopOwn();
    await relay.close();
  }
}

async function beginStream(gateway: Gateway, key: Key): Promise<IncomingMessage> {
  const req = begin(gateway, { path: PATH, key: key.secret, body: bodyFor(PATH, 'endless', { stream: true }) });
  const res = await headOf(req);
  if (res.statusCode !== 200) throw new Error(`a stream begins with ${res.statusCode}`);
  return res.resume();
}

async function closed(stream: IncomingMessage, timeoutMs: number): Promise<void> {
  if (stream.destroyed) return;
  await Promise.race([new Promise<void>((resolve) => stream.once('close', resolve)), sleep(timeoutMs)]);
  stream.destroy();
}

async function cutAfterMs(rig: Rig, gateway: Gateway, key: Key): Promise<number> {
  const stream = await beginStream(gateway, key);
  await rig.revoke(key);
  const startedMs = performance.now();
  await closed(stream, 15_000);
  return performance.now() - startedMs;
}

async function useRevoked(gateway: Gateway, key: Key, times: number): Promise<void> {
  let left = times;
  const use = async (): Promise<void> => {
    while (left-- > 0) {
      const { status } = await call(gateway, { path: PATH, key: key.secret, body: bodyFor(PATH) });
      if (status !== 401) throw new Error(`a revoked key gets ${status}`);
    }
  };
  await Promise.all(Array.from({ length: 10 }, use));
}
