/** A turn of many questions is read once, whatever comes in between, and is told as one that each step reads again. */
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import type { PermissionDecision } from '../../src/contract/status.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createPausedTurns, type PausedTurn, type PausedTurns } from '../../src/session/turn/paused-turns.ts';
import type { EndedTurn, TurnOptions } from '../../src/session/turn/turn.ts';
import { EventStore, startTurn } from './collect.ts';
import { startServer, type Server } from './server.ts';

let server: Server;
beforeEach(async () => {
  server = await startServer();
});
afterEach(() => server.stop());

interface Run {
  turn: EndedTurn;
  store: EventStore;
  steps: number;
  /** How often a question of the agent was read. */
  read: number;
}

/** Answers each question as soon as it is asked, the first with a denial. */
async function run(pausedTurns: PausedTurns | undefined, options: Partial<TurnOptions> & { prompt: string }): Promise<Run> {
  const store = new EventStore();
  const answers = new Map<string, PermissionDecision>();
  let read = 0;
  let resume = options.resume ?? null;
  for (let steps = 1; ; steps += 1) {
    const turn = await startTurn(server, store, {
      ...options,
      resume,
      pausedTurns,
      decide: ({ id }) => {
        read += 1;
        return answers.get(id) ?? 'ask';
      },
    });
    if (turn.kind === 'ended') return { turn, store, steps, read };
    resume = turn.state;
    answers.set(turn.question.id, { answer: answers.size === 0 ? 'deny' : 'allow', by: 'user' });
  }
}

const MIXED = 'say before\nrun\nask\nsay between\ntool\nask\nbabble\nask-all 3\nrun-and-ask\nplan\nask\nsay end';

function told({ turn, store }: Run): unknown {
  return { ...turn, state: null, events: store.events.map((event) => ({ ...event, id: null })) };
}

test('it is told alike', async () => {
  const again = await run(undefined, { prompt: MIXED });
  await server.stop();
  server = await startServer();
  const once = await run(createPausedTurns(), { prompt: MIXED });
  expect(told(once)).toEqual(told(again));
  expect(once.turn.message).toContain('before');
  expect(once.steps).toBe(again.steps);
  expect(once.read).toBeLessThan(again.read);
});

test('each question is read as often as it has to be, however many there are', async () => {
  const count = 150;
  const { turn, steps, read } = await run(createPausedTurns(), { prompt: Array.from({ length: count }, () => 'ask').join('\n') });
  expect(turn.stopReason).toBe('end_turn');
  expect(steps).toBe(count + 1);
  expect(read).toBeLessThanOrEqual(3 * count);
});

test('an answer that is still on its way when the next question is asked arrives', async () => {
  const { sandbox } = server;
  const late: TurnOptions['sandbox'] = {
    ...sandbox,
    fetch: async (path, init) => {
      if (typeof init?.body === 'string' && init.body.includes('"outcome"'))
        await sleep(200, undefined, init.signal ? { signal: init.signal } : {});
      return sandbox.fetch(path, init);
    },
  };
  const { turn } = await run(createPausedTurns(), { prompt: 'ask-all 4', sandbox: late });
  expect(turn.message).toBe('allowed: 3');
});

const decideFirst: TurnOptions['decide'] = ({ title }) => (title === 'all-1' ? { answer: 'allow', by: 'user' } : 'ask');

test('what was read beyond the question is not read again, and what was open stays so', async () => {
  const store = new EventStore();
  const paused: PausedTurn[] = [];
  const keep = (_: string, turn: PausedTurn): void => void paused.push(turn);
  await startTurn(server, store, { prompt: 'ask-all 3\nask', decide: () => 'ask', pausedTurns: { keep, take: () => null } });
  const [first] = paused;
  const [open] = first?.waiting ?? [];
  if (first === undefined || open === undefined) throw new Error('Nothing was kept.');
  const waiting = [1, 2, 3].map((n) => ({ ...open, rpcId: `q${n}`, title: `all-${n}` }));
  const next = await startTurn(server, store, {
    prompt: 'ask-all 3\nask',
    resume: first.state,
    decide: decideFirst,
    pausedTurns: { keep, take: () => ({ ...first, newest: first.newest + 2, waiting }) },
  });
  expect(next).toMatchObject({ kind: 'asks', question: { title: 'all-2' } });
  expect(paused[1]?.waiting.map(({ title }) => title)).toEqual(['all-2', 'all-3']);
  expect(store.events.map((event) => ('title' in event ? event.title : event.type))).toEqual(['all-1', 'permission.answered']);
});

test('it is read again with other secrets, after a while, and by a step of another state', async () => {
  const secrets = [new Secret('one')];
  const store = new EventStore();
  const first = await startTurn(server, store, { prompt: 'ask', secrets, decide: () => 'ask' });
  if (first.kind !== 'asks') throw new Error('The turn has ended.');
  const next = { jobId: 'job:1', turn: 1, resume: first.state, secrets };
  const left = async (pausedTurns: PausedTurns): Promise<void> => {
    const turn = await startTurn(server, store, { prompt: 'ask', secrets, pausedTurns, decide: () => 'ask' });
    expect(turn).toMatchObject({ kind: 'asks', state: first.state });
  };
  const turns = createPausedTurns();
  for (const other of [{ secrets: [new Secret('two')] }, { turn: 2 }, { resume: { ...first.state, lastEventId: 0 } }, { resume: null }]) {
    await left(turns);
    expect(turns.take({ ...next, ...other })).toBeNull();
  }
  await left(turns);
  expect(turns.take(next)).toMatchObject({ state: first.state });
  expect(turns.take(next)).toBeNull();
  const short = createPausedTurns(1);
  await left(short);
  await sleep(50);
  expect(short.take(next)).toBeNull();
});
