import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import type { JobEvent } from '../../src/contract/events.ts';
import { startPostgres, type DevPostgres } from '../../src/dev/postgres.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { appendEvents, readEvents, type SourcedEvent } from '../../src/store/events.ts';
import { followEvents, replayEvents } from '../../src/store/follow-events.ts';
import { newDatabase } from '../helpers/database.ts';

let url: string;
let database: Database;
/** What stores: another process, as far as the follower can see. */
let writer: Database;
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  url = await newDatabase();
  [database, writer] = await open(url);
});

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function open(at: string): Promise<[Database, Database]> {
  const pair: [Database, Database] = [openDatabase(at, { maxConnections: 2 }), openDatabase(at)];
  for (const one of pair) closing.push(() => one.close());
  await migrate(pair[1]);
  return pair;
}

const running = (): Promise<boolean> => Promise.resolve(false);
const over = (): Promise<boolean> => Promise.resolve(true);
const away = (): Promise<boolean> => Promise.reject(new ValetkeyError('temporal_unreachable', 'Temporal does not answer'));
const unknown = (): Promise<boolean> => Promise.reject(new ValetkeyError('job_not_found', 'there is no job of that name'));
const follow = (jobId: string, after = 0, hasEnded = running): AsyncIterableIterator<JobEvent> =>
  followEvents(database, jobId, after, hasEnded);

function message(text: string): SourcedEvent {
  return { source: text, body: { type: 'message', turn: 1, text } };
}

const ended: SourcedEvent = { source: 'job.ended', body: { type: 'job.ended', outcome: 'completed', code: null, message: null } };

async function collect(events: AsyncIterable<JobEvent>): Promise<JobEvent[]> {
  const all: JobEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const textsOf = (events: readonly JobEvent[]): string[] => events.map((event) => (event.type === 'message' ? event.text : event.type));

/** The application's name and the process of each connection to the database, beside the one that asks. */
async function connections(at = url): Promise<{ name: string; pid: number }[]> {
  const client = new pg.Client({ connectionString: at });
  await client.connect();
  const { rows } = await client.query<{ name: string; pid: number }>(
    `select application_name as name, pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await client.end();
  return rows;
}

const listeners = async (): Promise<{ pid: number }[]> => (await connections()).filter(({ name }) => name === 'valetkey events');

test('a follower gets what is stored, then each event as it is stored, and ends with the job', async () => {
  await appendEvents(writer.db, 'job', [message('a'), message('b')]);
  const events = follow('job', 1);
  expect((await events.next()).value).toMatchObject({ seq: 2, text: 'b' });
  const next = events.next();
  await appendEvents(writer.db, 'another job', [message('x')]);
  await appendEvents(writer.db, 'job', [message('c')]);
  expect((await next).value).toMatchObject({ seq: 3, text: 'c' });
  await appendEvents(writer.db, 'job', [ended]);
  expect(textsOf(await collect(events))).toEqual(['job.ended']);
  await expect.poll(listeners).toEqual([]);
});

test('what is stored is told with Temporal away, and Temporal is not asked of a job that has ended', async () => {
  await appendEvents(writer.db, 'job', [message('a')]);
  expect(textsOf(await collect(replayEvents(database.db, 'job', 0, away)))).toEqual(['a']);
  const events = follow('job', 0, away);
  expect((await events.next()).value).toMatchObject({ text: 'a' });
  await expect(events.next()).rejects.toMatchObject({ code: 'temporal_unreachable' });
  await appendEvents(writer.db, 'job', [ended]);
  expect(textsOf(await collect(follow('job', 0, away)))).toEqual(['a', 'job.ended']);
});

test('an event is with its follower some milliseconds after it is stored', async () => {
  const events = follow('job');
  const tookMs: number[] = [];
  for (let index = 0; index < 50; index += 1) {
    const next = events.next();
    const startedMs = performance.now();
    await appendEvents(writer.db, 'job', [message(String(index))]);
    await next;
    tookMs.push(performance.now() - startedMs);
  }
  expect(tookMs.toSorted((a, b) => a - b)[25]).toBeLessThan(50);
  await events.return?.();
});

test('thousands of events come in order and once, in pages, while more are stored', async () => {
  const texts = Array.from({ length: 3000 }, (_, index) => String(index));
  for (let at = 0; at < 2000; at += 400) await appendEvents(writer.db, 'job', texts.slice(at, at + 400).map(message));
  expect(await readEvents(writer.db, 'job', 0)).toHaveLength(500);
  const collected = collect(follow('job'));
  for (let at = 2000; at < 3000; at += 50) await appendEvents(writer.db, 'job', texts.slice(at, at + 50).map(message));
  await appendEvents(writer.db, 'job', [ended]);
  const events = await collected;
  expect(textsOf(events)).toEqual([...texts, 'job.ended']);
  expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 3001 }, (_, index) => index + 1));
});

test('events of a newer worker pass through, and its end of the job ends the stream', async () => {
  const newer = [
    { type: 'progress', turn: 1, percent: 40 },
    { type: 'permission.answered', turn: 1, id: 'q', answer: 'allow_for_session', by: 'user' },
    { type: 'message', turn: 1, text: 'known', model: 'of a field that is new' },
    { type: 'job.ended', outcome: 'parked' },
  ];
  await appendEvents(writer.db, 'job', [message('a')]);
  await writer.pool.query('select append_events($1, $2::jsonb)', [
    'job',
    JSON.stringify(newer.map((body, index) => ({ source: `newer-${index}`, body }))),
  ]);
  const events = await collect(follow('job'));
  expect(events.map(({ seq, at, ...body }) => [seq, Number.isNaN(Date.parse(at)) ? at : body])).toEqual([
    [1, { type: 'message', turn: 1, text: 'a' }],
    [2, { type: 'unknown', rawType: 'progress', body: newer[0] }],
    [3, { type: 'unknown', rawType: 'permission.answered', body: newer[1] }],
    [4, newer[2]],
    [5, { type: 'unknown', rawType: 'job.ended', body: newer[3] }],
  ]);
  expect(await collect(replayEvents(database.db, 'job', 0, away))).toEqual(events);
});

test('an event of no known form is refused before it is stored', async () => {
  const malformed: SourcedEvent = { source: 'b', body: { type: 'message', turn: 1, text: 'b' } };
  Reflect.deleteProperty(malformed.body, 'text');
  const stored = appendEvents(writer.db, 'job', [message('a'), malformed]);
  await expect(stored).rejects.toThrow('text');
  expect(await readEvents(writer.db, 'job', 0)).toEqual([]);
});

test('a slow follower misses nothing, and waits for nobody with what is stored already', async () => {
  const events = follow('job');
  const first = events.next();
  await appendEvents(writer.db, 'job', [message('first')]);
  await first;
  for (let index = 0; index < 20; index += 1) await appendEvents(writer.db, 'job', [message(String(index))]);
  await appendEvents(writer.db, 'job', [ended]);
  expect(textsOf(await collect(events))).toEqual([...Array.from({ length: 20 }, (_, index) => String(index)), 'job.ended']);
});

test('thirty followers share one connection beside the pool, which stays free', async () => {
  const followers = Array.from({ length: 30 }, (_, index) => follow(`job-${index % 10}`));
  const firsts = followers.map((events) => events.next());
  await expect.poll(listeners).toHaveLength(1);
  expect(await readEvents(database.db, 'job-1', 0)).toEqual([]);
  expect((await connections()).length).toBeLessThanOrEqual(1 + 2 + 10);
  for (let index = 0; index < 10; index += 1) await appendEvents(writer.db, `job-${index}`, [message(`of job-${index}`), ended]);
  const got = await Promise.all(firsts);
  expect(got.map(({ value }) => textsOf(value === undefined ? [] : [value]))).toEqual(
    followers.map((_, index) => [`of job-${index % 10}`]),
  );
  expect(await Promise.all(followers.map(collect))).toHaveLength(30);
  await expect.poll(listeners).toEqual([]);
});

test('a follower that is told to return while it waits ends at once, and lets go of the connection', async () => {
  const events = follow('job');
  const next = events.next();
  await expect.poll(listeners).toHaveLength(1);
  await events.return?.();
  expect(await next).toEqual({ done: true, value: undefined });
  await expect.poll(listeners).toEqual([]);
});

test('a loop that is left in the middle lets go of the connection', async () => {
  await appendEvents(writer.db, 'job', [message('a'), message('b')]);
  for await (const event of follow('job')) {
    expect(event.seq).toBe(1);
    break;
  }
  await expect.poll(listeners).toEqual([]);
});

test('a follower goes on when its connections are killed, and gets what was stored meanwhile', async () => {
  const events = follow('job');
  for (let round = 0; round < 5; round += 1) {
    const next = events.next();
    await expect.poll(listeners).toHaveLength(1);
    const killed = await connections();
    await writer.pool.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid where pid <> pg_backend_pid()', [
      killed.map(({ pid }) => pid),
    ]);
    await appendEvents(openWriter().db, 'job', [message(`round ${round}`)]);
    expect((await next).value).toMatchObject({ text: `round ${round}` });
  }
  await events.return?.();
});

function openWriter(): Database {
  const fresh = openDatabase(url);
  closing.push(() => fresh.close());
  return fresh;
}

test('followers that wait and one that reads go on after a restart of Postgres, and a new one is told while it is down', async () => {
  const postgres: DevPostgres = await startPostgres();
  closing.push(() => postgres.stop());
  [database, writer] = await open(postgres.url);
  await appendEvents(writer.db, 'job', [message('before')]);
  await appendEvents(writer.db, 'long', [...Array.from({ length: 500 }, (_, index) => message(String(index))), message('last')]);
  const followers = [follow('job'), follow('job')];
  for (const events of followers) expect((await events.next()).value).toMatchObject({ text: 'before' });
  const waiting = followers.map((events) => events.next());
  const reader = follow('long');
  for (let seq = 1; seq <= 500; seq += 1) expect((await reader.next()).value).toMatchObject({ seq });
  await postgres.halt();
  await expect(follow('job').next()).rejects.toMatchObject({ code: 'database_unreachable' });
  const read = reader.next();
  await postgres.resume();
  expect((await read).value).toMatchObject({ text: 'last' });
  const store = (): Promise<boolean> =>
    appendEvents(writer.db, 'job', [message('after'), ended]).then(
      () => true,
      () => false,
    );
  await expect.poll(store).toBe(true);
  for (const next of waiting) expect((await next).value).toMatchObject({ text: 'after' });
  for (const events of followers) expect(textsOf(await collect(events))).toEqual(['job.ended']);
  await reader.return?.();
});

test('the stream of a job that has ended ends at once, whether its last event is there or not', async () => {
  expect(await collect(follow('nothing is left of it', 0, over))).toEqual([]);
  await appendEvents(writer.db, 'terminated', [message('a')]);
  expect(textsOf(await collect(follow('terminated', 0, over)))).toEqual(['a']);
  expect(await collect(follow('terminated', 1, over))).toEqual([]);
});

test('a job that is not there is told with the first event', async () => {
  await expect(follow('unknown', 0, unknown).next()).rejects.toMatchObject({ code: 'job_not_found' });
  await expect.poll(listeners).toEqual([]);
});

test('a database that is closed ends its followers with an error, and leaves no connection', async () => {
  const next = follow('job').next();
  await expect.poll(listeners).toHaveLength(1);
  await Promise.all([expect(next).rejects.toMatchObject({ code: 'database_unreachable' }), database.close()]);
  await expect.poll(listeners).toEqual([]);
});

test('what Postgres’ JSON cannot hold is stored all the same', async () => {
  await appendEvents(writer.db, 'job', [{ source: 'odd', body: { type: 'message', turn: 1, text: 'a\0b \ud83d c \\u0000 \u{1F511}' } }]);
  expect(textsOf(await readEvents(writer.db, 'job', 0))).toEqual(['a\u{FFFD}b \u{FFFD} c \\u0000 \u{1F511}']);
});
