/**
 * A session survives the process that drives it: the next one goes on with the turn, with the last state or with none.
 * No prompt runs twice, no event is lost or doubled.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';

import { jobEventSchema } from '../../src/contract/events.ts';
import { sessionStateSchema, type SessionState } from '../../src/session/turn/state.ts';
import { EventStore, turnOn } from './collect.ts';
import { startServer, type Server } from './server.ts';

const driver = join(import.meta.dirname, 'driver.ts');
const toldSchema = z.object({
  events: z.array(z.object({ source: z.string(), body: jobEventSchema })).optional(),
  state: sessionStateSchema.optional(),
});
const counted = Array.from({ length: 150 }, (_, index) => `${index + 1} `).join('');
const prompt = 'ask\ncount 150 10\nask';

let server: Server;
afterEach(() => server.stop());

test.each([
  ['before it said anything', 'state', 'with its state'],
  ['before it said anything', 'state', 'with none'],
  ['in the middle', ' 40 ', 'with its state'],
  ['in the middle', ' 40 ', 'with none'],
  ['near its end', ' 149 ', 'with its state'],
])('a turn whose driver is killed %s (%s) is ended by another, %s', async (_when, mark, how) => {
  server = await startServer();
  const store = new EventStore();
  const last = await driveUntil(mark, store);
  const turn = await turnOn(server, store, { prompt, resume: how === 'with none' ? null : last });
  expect(await server.prompts()).toEqual([prompt]);
  expect(store.text).toBe(`answer: yes${counted}answer: yes`);
  expect(turn).toMatchObject({ stopReason: 'end_turn', message: store.text });
});

test('two drivers at the same time run the prompt once and make the same events', async () => {
  server = await startServer();
  const [one, two] = [new EventStore(), new EventStore()];
  const first = turnOn(server, one, { prompt });
  await one.said('answer');
  await Promise.all([first, turnOn(server, two, { prompt })]);
  expect(await server.prompts()).toEqual([prompt]);
  expect([...two.bySource]).toEqual([...one.bySource]);
});

test('a turn that has ended is told again without running', async () => {
  server = await startServer();
  const store = new EventStore();
  const { state } = await turnOn(server, store, { prompt: 'say once' });
  expect(await turnOn(server, store, { prompt: 'say once', resume: state })).toMatchObject({ stopReason: 'end_turn', message: 'once' });
  expect(await turnOn(server, store, { prompt: 'say once' })).toMatchObject({ stopReason: 'end_turn', message: 'once' });
  expect(await server.prompts()).toEqual(['say once']);
  expect(store.text).toBe('once');
});

test('the answer is had again when the server has forgotten it', async () => {
  server = await startServer();
  await turnOn(server, new EventStore(), { prompt: 'say once' });
  const { state } = await turnOn(server, new EventStore(), { prompt: Array(700).fill('say x\nthink y').join('\n'), turn: 2 });
  expect(state.lastEventId).toBeGreaterThan(1100);
  expect(await turnOn(server, new EventStore(), { prompt: 'say once' })).toMatchObject({ stopReason: 'end_turn' });
  expect(await server.prompts()).toHaveLength(2);
});

test('a detached turn goes on without us', async () => {
  server = await startServer();
  const store = new EventStore();
  const detach = new AbortController();
  const turn = turnOn(server, store, { prompt, detach: detach.signal });
  await store.said('5 ');
  detach.abort(new Error('the worker shuts down'));
  await expect(turn).rejects.toThrow('the worker shuts down');
  await turnOn(server, store, { prompt });
  expect(store.text).toBe(`answer: yes${counted}answer: yes`);
  expect(await server.prompts()).toEqual([prompt]);
});

test('a store that fails ends the call, and the next one loses nothing', async () => {
  server = await startServer();
  const store = new EventStore();
  const failing = turnOn(server, store, {
    prompt,
    onEvent: (events) => (store.text.includes('20 ') ? Promise.reject(new Error('no database')) : store.append(events)),
  });
  await expect(failing).rejects.toThrow('no database');
  await turnOn(server, store, { prompt });
  expect(store.text).toBe(`answer: yes${counted}answer: yes`);
});

describe('what the server has forgotten while nobody was attached', () => {
  const long = 'say start\nbabble\nwait go\nflood 1500\nsay end';
  let store: EventStore;
  let resume: SessionState | null;
  const steps = () => store.events.flatMap((event) => (event.type === 'plan' ? event.entries.map(({ text }) => text) : []));
  const gaps = () => store.events.flatMap((event) => (event.type === 'gap' ? [event.messages] : []));

  beforeEach(async () => {
    server = await startServer();
    store = new EventStore();
    resume = null;
    const detach = new AbortController();
    const turn = turnOn(server, store, { prompt: long, detach: detach.signal, onState: (state) => void (resume = state) });
    await store.said('start');
    detach.abort(new Error('the worker shuts down'));
    await turn.catch(() => undefined);
    await server.put('go');
    await server.heard('end_turn');
  });

  test.each(['with its state', 'with none'])('is had from the shim, in order, by another %s', async (how) => {
    const turn = await turnOn(server, store, { prompt: long, resume: how === 'with none' ? null : resume });
    expect(turn).toMatchObject({ stopReason: 'end_turn', message: 'start\n\nend' });
    expect(steps()).toEqual(Array.from({ length: 1500 }, (_, index) => `step ${index + 1}`));
    expect(store.events.map(({ type }) => type).filter((type) => type !== 'plan')).toEqual(['message', 'message']);
    expect(await server.prompts()).toHaveLength(1);
  });

  test.each<[string, (file: string) => Promise<unknown>]>([
    ['is gone', (file) => rm(file)],
    ['counts otherwise', (file) => writeFile(file, `{"first":1}\n${'{}\n'.repeat(2000)}`)],
    ['is no file of the shim', (file) => writeFile(file, 'nothing')],
  ])('is told as a gap where its file %s, and the turn ends as it did', async (_what, damage) => {
    await damage(join(server.paths.home, '.valetkey/backlog.jsonl'));
    expect(await turnOn(server, store, { prompt: long, resume })).toMatchObject({ stopReason: 'end_turn', message: 'end' });
    expect(steps().length).toBeGreaterThan(1000);
    expect(gaps()).toEqual([1500 - steps().length]);
    expect(store.events.map(({ type }) => type).filter((type) => type !== 'plan')).toEqual(['message', 'gap', 'message']);
    // The same again tells nothing new.
    await turnOn(server, store, { prompt: long, resume });
    expect(gaps()).toHaveLength(1);
    expect(await server.prompts()).toHaveLength(1);
  });
});

/** Runs the turn in a process of its own, kills it −9 when a line holds `mark`, and resolves to the last state that it told. */
async function driveUntil(mark: string, store: EventStore): Promise<SessionState | null> {
  const argument = JSON.stringify({ port: server.port, paths: server.paths, prompt });
  const child = execa(process.execPath, [driver, argument], { reject: false, buffer: false });
  let state: SessionState | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    const told = toldSchema.parse(JSON.parse(line));
    if (told.events) await store.append(told.events);
    if (told.state) state = told.state;
    if (mark === 'state' ? told.state : store.text.includes(mark)) child.kill('SIGKILL');
  }
  await child;
  return state;
}
