/**
 * The agent's process dies and the sandbox does not: the session goes on in a new process, no prompt runs twice, and what the
 * agent tells again while it loads the session is not told twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import type { SandboxConnection } from '../../src/sandboxes/sandbox.ts';
import type { SessionState } from '../../src/session/turn/state.ts';
import { EventStore, turnOn } from './collect.ts';
import { startServer, type Server } from './server.ts';

const continued = expect.stringContaining('go on from there') as unknown;

let server: Server;
let store: EventStore;
beforeEach(async () => {
  server = await startServer();
  store = new EventStore();
});
afterEach(() => server.stop());

test('between turns: the next prompt is sent once, to a new process that knows the session', async () => {
  const { state } = await turnOn(server, store, { prompt: 'say one' });
  await server.killAgent();
  const second = await turnOn(server, store, { prompt: 'say two\nrecall', turn: 2, resume: state });
  expect(second).toMatchObject({ stopReason: 'end_turn', message: 'twosay one', state: { process: 1, sessionId: state.sessionId } });
  expect(await turnOn(server, store, { prompt: 'recall', turn: 3, resume: second.state })).toMatchObject({ message: 'say one, say two' });
  expect(await server.prompts()).toEqual(['say one', 'say two\nrecall', 'recall']);
  expect(store.text).toBe('onetwosay onesay one, say two');
  expect(store.events.flatMap((event) => ('turn' in event ? [event.turn] : []))).toEqual(expect.arrayContaining([1, 2, 3]));
});

test('in mid-turn: it is noticed within 5 s, and the turn is interrupted', async () => {
  let noticedMs = 0;
  const sandbox: SandboxConnection = {
    ...server.sandbox,
    fetch(path, init) {
      // A process is started.
      if (path.includes('?agent=')) noticedMs = Date.now();
      return server.sandbox.fetch(path, init);
    },
  };
  const turn = turnOn(server, store, { prompt: 'say before\nhang', sandbox });
  turn.catch(() => {});
  await store.said('before');
  const killedMs = Date.now();
  await server.killAgent();
  await expect(turn).rejects.toMatchObject({ code: 'turn_interrupted' });
  expect(noticedMs).toBeGreaterThan(killedMs);
  expect(noticedMs - killedMs).toBeLessThan(5000);
  expect(store.text).toBe('before');
  expect(await server.prompts()).toHaveLength(1);
});

test('in mid-turn, with the policy to continue: the agent is asked to go on, once, and the turn ends', async () => {
  const turn = await turnOn(server, store, { prompt: 'say before\ncrash', onInterrupted: 'continue' });
  expect(turn).toMatchObject({ stopReason: 'end_turn', message: 'before', state: { process: 1, running: null } });
  expect(await server.prompts()).toEqual(['say before\ncrash', continued]);
  expect(store.events).toEqual([
    { type: 'message', turn: 1, text: 'before' },
    { type: 'warning', code: 'turn_interrupted', message: expect.any(String) as unknown },
  ]);
  expect(await turnOn(server, store, { prompt: 'recall', turn: 2, resume: turn.state })).toMatchObject({
    message: expect.stringMatching(/^say before, Your process/) as unknown,
  });
});

test('while nobody is attached: what it said is stored, and the next attempt decides', async () => {
  const detach = new AbortController();
  let resume: SessionState | null = null;
  const prompt = 'say before\nwait go\nsay alone\ntouch said\nhang';
  const first = turnOn(server, store, { prompt, detach: detach.signal, onState: (state) => void (resume = state) });
  await store.said('before');
  detach.abort(new Error('the worker shuts down'));
  await expect(first).rejects.toThrow('the worker shuts down');
  await server.put('go');
  await server.has('said');
  await server.killAgent();
  // What the dead process said comes later than the news of its death.
  const sandbox: SandboxConnection = {
    ...server.sandbox,
    async fetch(path, init) {
      if (init?.headers?.['accept'] === 'text/event-stream') await sleep(300);
      return server.sandbox.fetch(path, init);
    },
  };
  const options = { prompt, resume, onInterrupted: 'continue', sandbox } as const;
  await turnOn(server, store, options);
  // Another attempt with the same old state finds the new process, and all is as it was.
  await turnOn(server, store, options);
  expect(store.text).toBe('beforealone');
  expect(store.events.filter(({ type }) => type === 'warning')).toHaveLength(1);
  expect(await server.prompts()).toEqual([prompt, continued]);
});

test('after the answer, which nobody read: the turn has ended as it did', async () => {
  const detach = new AbortController();
  let resume: SessionState | null = null;
  const prompt = 'say before\nwait go\nsay after';
  const first = turnOn(server, store, { prompt, detach: detach.signal, onState: (state) => void (resume = state) });
  await store.said('before');
  detach.abort(new Error('the worker shuts down'));
  await expect(first).rejects.toThrow('the worker shuts down');
  await server.put('go');
  await turnOn(server, new EventStore(), { prompt });
  await server.restart();
  expect(await turnOn(server, store, { prompt, resume })).toMatchObject({ stopReason: 'end_turn' });
  expect(await server.prompts()).toEqual([prompt]);
});

test('with the server, which is started anew: the session goes on', async () => {
  const { state } = await turnOn(server, store, { prompt: 'say one' });
  await server.restart();
  const second = await turnOn(server, store, { prompt: 'recall', turn: 2, resume: state });
  expect(second).toMatchObject({ message: 'say one', state: { process: 1 } });
  const turn = turnOn(server, store, { prompt: 'say more\nhang', turn: 3, resume: second.state, onInterrupted: 'continue' });
  await store.said('more');
  await server.restart();
  expect(await turn).toMatchObject({ stopReason: 'end_turn', state: { process: 2 } });
  expect(await server.prompts()).toEqual(['say one', 'recall', 'say more\nhang', continued]);
});

test.each([
  ['cannot load sessions', 'cannot-load', 'session_lost'],
  ['has lost the session', 'fail-at-load', 'session_lost'],
  ['does not start again', 'crash-at-start', 'session_lost'],
  ['never answers at its start', 'hang-at-start', 'agent_unresponsive'],
  ['never answers when it loads', 'hang-at-load', 'agent_unresponsive'],
])('an agent that %s: %s ends the turn as %s', async (_what, file, code) => {
  const { state } = await turnOn(server, store, { prompt: 'say one' });
  await server.put(file);
  await server.killAgent();
  const second = turnOn(server, store, {
    prompt: 'say two',
    turn: 2,
    resume: state,
    startTimeoutMs: file.startsWith('hang') ? 2000 : 60_000,
  });
  await expect(second).rejects.toMatchObject({ code });
  expect(await server.prompts()).toEqual(['say one']);
});
