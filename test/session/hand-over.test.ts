/** A message that the server gives to nobody, between what it repeats and what comes live, is read within 5 s, the last one before a silence, too. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import type { TurnOptions } from '../../src/session/turn/turn.ts';
import { EventStore, startTurn } from './collect.ts';
import { startLossyRelay, type LossyRelay } from './lossy-relay.ts';
import { reattachOften } from './reattach.ts';
import { connectTo, startServer, type Server } from './server.ts';

let server: Server;
let relay: LossyRelay;
let store: EventStore;
beforeEach(async () => {
  server = await startServer();
  relay = await startLossyRelay(server.port);
  store = new EventStore();
});
afterEach(async () => {
  await relay.close();
  await server.stop();
});

const run = (options: Partial<TurnOptions> & { prompt: string }) =>
  startTurn(server, store, { sandbox: connectTo(relay.port, server.paths), stallMs: 20_000, ...options });

test.each([
  ['answer of the prompt', '"stopReason"', 1],
  ['answer of the prompt, twice', '"stopReason"', 2],
  ['question of the agent', 'session/request_permission', 1],
  ['receipt of the prompt', '_valetkey/received', 1],
  ['last words of the agent before it waits', 'answer: yes', 1],
])('the %s', async (_what, text, times) => {
  relay.lose(text, times);
  const beganMs = performance.now();
  expect(await run({ prompt: 'say before\nask' })).toMatchObject({ kind: 'ended', stopReason: 'end_turn', message: 'beforeanswer: yes' });
  expect(performance.now() - beganMs).toBeLessThan(15_000);
  expect(relay.lost).toBe(times);
  expect(store.events.map(({ type }) => type)).toEqual(['message', 'permission.asked', 'permission.answered', 'message']);
});

test('one in the midst of others, in its place', async () => {
  relay.lose('"step 20"');
  await run({ prompt: 'flood 40\nsay end' });
  expect(relay.lost).toBe(1);
  expect(store.events.flatMap((event) => (event.type === 'plan' ? event.entries.map(({ text }) => text) : []))).toEqual(
    Array.from({ length: 40 }, (_, index) => `step ${index + 1}`),
  );
});

test('what an agent said last before its process died', async () => {
  relay.lose('last words');
  await expect(run({ prompt: 'say last words\ncrash' })).rejects.toMatchObject({ code: 'turn_interrupted' });
  expect(relay.lost).toBe(1);
  expect(store.text).toBe('last words');
});

test('a stream that breaks again and again goes on as long as it brings messages', async () => {
  relay.breakStreams();
  await run({ prompt: 'steps 40 100\nsay end' });
  expect(relay.streams).toBeGreaterThan(25);
  expect(store.events.flatMap((event) => (event.type === 'plan' ? event.entries.map(({ text }) => text) : []))).toEqual(
    Array.from({ length: 40 }, (_, index) => `step ${index + 1}`),
  );
  expect(store.text).toBe('end');
});

test('a turn that twenty workers run one after the other is told once', async () => {
  for (let worker = 1; worker <= 20; worker += 1) {
    const turn = run({ prompt: 'steps 150 20\nask\nsay end', detach: AbortSignal.timeout(120) });
    await turn.catch(() => undefined);
  }
  expect(await run({ prompt: 'steps 150 20\nask\nsay end' })).toMatchObject({ stopReason: 'end_turn' });
  expect(store.events.filter(({ type }) => type === 'plan')).toHaveLength(150);
  expect(store.text).toBe('answer: yesend');
  expect(await server.prompts()).toHaveLength(1);
});

test('a silence costs the server nothing but the pings', async () => {
  const cancel = new AbortController();
  const turn = run({ prompt: 'say before\nhang', cancel: cancel.signal });
  await store.said('before');
  await sleep(5000);
  expect(relay.streams).toBe(1);
  expect(await readFile(join(server.paths.home, '.valetkey/backlog.jsonl'), 'utf8')).not.toContain('_valetkey/newest');
  cancel.abort(new Error('enough'));
  await expect(turn).rejects.toThrow('enough');
});

test('200 connections, each made while messages come, read each message once', async () => {
  expect(await reattachOften(server, 200)).toBe(4000);
});
