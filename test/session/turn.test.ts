/** A turn runs in the agent's session to its stop reason, its events come in order, and every other end is typed. */
import { afterEach, expect, test } from 'vitest';

import { Secret } from '../../src/secrets/secret.ts';
import type { SessionState } from '../../src/session/turn/state.ts';
import type { EndedTurn } from '../../src/session/turn/turn.ts';
import { killNow } from '../helpers/kill.ts';
import { EventStore, startTurn, turnOn } from './collect.ts';
import { startServer, type Server } from './server.ts';

let server: Server;
afterEach(() => server.stop());

test('the events of a turn come in the order in which the agent told them', async () => {
  server = await startServer();
  const store = new EventStore();
  const turn = await turnOn(server, store, { prompt: 'say Hello\nthink Hm\ntool\nplan\nsay Bye' });
  expect(turn).toMatchObject({ stopReason: 'end_turn', message: 'Hello\n\nBye' });
  expect(store.events).toEqual([
    { type: 'message', turn: 1, text: 'Hello' },
    { type: 'thought', turn: 1, text: 'Hm' },
    { type: 'tool', turn: 1, id: 'tool-0', title: 'Write a file', kind: 'edit', status: 'in_progress', output: null },
    {
      type: 'tool',
      turn: 1,
      id: 'tool-0',
      title: 'Write a file',
      kind: 'edit',
      status: 'completed',
      output: '--- a.txt\n+++ a.txt\n-old\n+new',
    },
    { type: 'plan', turn: 1, entries: [{ text: 'Look', status: 'pending' }] },
    { type: 'message', turn: 1, text: 'Bye' },
  ]);
});

test('the pieces of a command’s output are told together at its end', async () => {
  server = await startServer();
  const store = new EventStore();
  await turnOn(server, store, { prompt: 'run' });
  const tool = { type: 'tool', turn: 1, id: 'run-0', title: 'ls', kind: 'execute' };
  expect(store.events).toEqual([
    { ...tool, status: 'in_progress', output: null },
    { ...tool, status: 'completed', output: 'a.txt\nb.txt\n' },
  ]);
});

test('a second turn knows the first, and its events are its own', async () => {
  server = await startServer();
  const store = new EventStore();
  const { state } = await turnOn(server, store, { prompt: 'say one' });
  const second = await turnOn(server, store, { prompt: 'recall', turn: 2, resume: state });
  expect(second.message).toBe('say one');
  expect(store.events.map((event) => 'turn' in event && event.turn)).toEqual([1, 2]);
  expect(JSON.stringify(second.state).length).toBeLessThan(1024);
});

test('chunks that come fast are joined on the way, and none is lost', async () => {
  server = await startServer();
  const store = new EventStore();
  await turnOn(server, store, { prompt: 'count 500 1' });
  expect(store.text).toBe(Array.from({ length: 500 }, (_, index) => `${index + 1} `).join(''));
  expect(store.events.length).toBeLessThan(100);
});

test('a message of more than 16 KiB is its end, under a mark that says how much is missing', async () => {
  server = await startServer();
  const long = 'long '.repeat(4000);
  const { message } = await turnOn(server, new EventStore(), { prompt: `say ${long}` });
  expect(message).toBe(`[… ${long.length - 16 * 1024} characters cut …]\n${long.slice(-16 * 1024)}`);
});

test('what the agent may not ask of us is refused', async () => {
  server = await startServer();
  expect(await turnOn(server, new EventStore(), { prompt: 'read' })).toMatchObject({ message: 'read: none' });
});

test.each([
  ['fail -32000', 'agent_failed'],
  ['fail -32603', 'agent_failed'],
  ['fail-softly', 'agent_failed'],
  ['stop cancelled', 'agent_failed'],
])('the prompt "%s" fails as %s, without the words of the agent', async (prompt, code) => {
  server = await startServer();
  const error: unknown = await turnOn(server, new EventStore(), { prompt }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code });
  expect(String(error)).not.toContain('anything');
});

test('a turn that the agent ends as refused ends so', async () => {
  server = await startServer();
  expect(await turnOn(server, new EventStore(), { prompt: 'stop refusal' })).toMatchObject({ kind: 'ended', stopReason: 'refusal' });
});

const contextLength = async (): Promise<string> => 'context_length';

test('why the model stopped counts more than what the agent makes of it', async () => {
  server = await startServer();
  for (const [index, prompt] of ['say well', 'fail -32603'].entries())
    expect(await turnOn(server, new EventStore(), { prompt, turn: index + 1, modelStop: contextLength })).toMatchObject({
      stopReason: 'context_length',
    });
});

test('the session takes the next prompt after one that failed', async () => {
  server = await startServer();
  await expect(turnOn(server, new EventStore(), { prompt: 'fail -32000' })).rejects.toMatchObject({ code: 'agent_failed' });
  expect(await turnOn(server, new EventStore(), { prompt: 'say well', turn: 2 })).toMatchObject({ message: 'well' });
});

test('a cancel ends the turn at the agent, keeps what it said, and rejects with the reason', async () => {
  server = await startServer();
  const store = new EventStore();
  const cancel = new AbortController();
  let cancelled: EndedTurn | undefined;
  const onCancelled = (ended: EndedTurn): void => void (cancelled = ended);
  const turn = turnOn(server, store, { prompt: 'say started\nhang', cancel: cancel.signal, onCancelled });
  await store.said('started');
  const startedMs = Date.now();
  cancel.abort(new Error('the tenant changed its mind'));
  await expect(turn).rejects.toThrow('the tenant changed its mind');
  expect(Date.now() - startedMs).toBeLessThan(2000);
  expect(cancelled).toMatchObject({ stopReason: 'cancelled', message: 'started', state: { turn: 1, running: null } });
  // The agent takes another prompt, so the turn is over there, too.
  const next = await turnOn(server, store, { prompt: 'recall', turn: 2, resume: cancelled?.state ?? null });
  expect(next).toMatchObject({ message: 'say started' });
  expect(store.events).toEqual([
    { type: 'message', turn: 1, text: 'started' },
    { type: 'message', turn: 2, text: 'say started' },
  ]);
});

test('the turn after a cancel that takes its time waits for its end', async () => {
  server = await startServer();
  await server.put('slow-cancel');
  const store = new EventStore();
  const cancel = new AbortController();
  let state: SessionState | null = null;
  const onCancelled = (ended: EndedTurn): void => void ({ state } = ended);
  const turn = turnOn(server, store, { prompt: 'say started\nhang', cancel: cancel.signal, onCancelled });
  await store.said('started');
  cancel.abort(new Error('the tenant changed its mind'));
  await expect(turn).rejects.toThrow('the tenant changed its mind');
  expect(state).toMatchObject({ running: 'turn-1' });
  const next = await turnOn(server, store, { prompt: 'recall\ncount 3 300', turn: 2, resume: state });
  expect(next.message).toBe('say started1 2 3 ');
});

test('a secret of the job is masked in the events, in the message and in a question', async () => {
  server = await startServer();
  const store = new EventStore();
  const text = 'upstream-credential-for-tests';
  const secrets = [new Secret(text)];
  await server.put('title', `Run ${text}`);
  const prompt = `say it is ${text}\nask`;
  const turn = await startTurn(server, store, { prompt, secrets, decide: () => 'ask' });
  const answered = await startTurn(server, store, { prompt, secrets, resume: turn.state });
  expect(JSON.stringify([turn, answered, store.events])).not.toContain(text);
  expect(answered).toMatchObject({ message: expect.stringMatching(/^it is .+answer: yes$/s) as unknown });
});

test('an agent that crashes at its start is a lost session', async () => {
  server = await startServer();
  await server.put('crash-at-start');
  await expect(turnOn(server, new EventStore(), { prompt: 'say hello' })).rejects.toMatchObject({ code: 'session_lost' });
});

test('a server that is killed in mid-turn is a lost sandbox within 5 s', async () => {
  server = await startServer();
  const store = new EventStore();
  const turn = turnOn(server, store, { prompt: 'say before\nhang' });
  turn.catch(() => {});
  await store.said('before');
  const killedMs = Date.now();
  killNow(server.pid);
  await expect(turn).rejects.toMatchObject({ code: 'sandbox_lost' });
  expect(Date.now() - killedMs).toBeLessThan(5000);
});

test('an agent that never answers at its start is unresponsive', async () => {
  server = await startServer();
  await server.put('hang-at-start');
  const turn = turnOn(server, new EventStore(), { prompt: 'say hello', startTimeoutMs: 1500 });
  await expect(turn).rejects.toMatchObject({ code: 'agent_unresponsive' });
});

test('an agent that says nothing for so long has stalled, and its turn is ended there, too', async () => {
  server = await startServer();
  const store = new EventStore();
  const startedMs = Date.now();
  await expect(turnOn(server, store, { prompt: 'say once\nhang', stallMs: 2500 })).rejects.toMatchObject({ code: 'stalled' });
  expect(Date.now() - startedMs).toBeGreaterThan(2500);
  expect(await turnOn(server, store, { prompt: 'recall', turn: 2 })).toMatchObject({ message: 'say once' });
});

test('an agent that says something now and then has not stalled', async () => {
  server = await startServer();
  expect(await turnOn(server, new EventStore(), { prompt: 'count 5 800', stallMs: 3000 })).toMatchObject({ message: '1 2 3 4 5 ' });
});
