import { beforeEach, describe, expect, test } from 'vitest';

import { storeArtifact } from '../../src/store/artifacts.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { appendEvents } from '../../src/store/events.ts';
import { deleteExpired } from '../../src/store/retention.ts';
import { readResult, settle } from '../../src/store/settlements.ts';
import { newDatabase } from '../database.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const never = new AbortController().signal;
let database: Database;

async function newStore(): Promise<[string, Database]> {
  const url = await newDatabase();
  const opened = openDatabase(url);
  await migrate(opened);
  return [url, opened];
}

/** A job whose last event is so many days old. */
async function storeJob(jobId: string, days: number, { settled = true, events = 3 } = {}, { db } = database): Promise<void> {
  const messages = Array.from({ length: events }, (_, index) => ({
    source: `acp:1:${index}`,
    body: { type: 'message', turn: 1, text: 'some text' } as const,
  }));
  await appendEvents(db, jobId, messages);
  await storeArtifact(db, jobId, 'patch', Buffer.from('some patch'));
  if (settled) {
    const usage = { inputTokens: 1, outputTokens: 1, requests: 1, usd: 1 };
    const times = { startedAt: new Date(0).toISOString(), endedAt: new Date(0).toISOString() };
    const parts = { failure: null, turns: [], keys: [], artifacts: [] };
    await settle(db, { jobId, tenant: 'acme', agent: 'codex', outcome: 'completed', usage, ...parts, ...times }, [
      { source: 'job.ended', body: { type: 'job.ended', outcome: 'completed', code: null, message: null } },
    ]);
  }
  await db
    .updateTable('events')
    .set({ at: new Date(Date.now() - days * DAY_MS) })
    .where('job_id', '=', jobId)
    .execute();
}

/** What is left: jobs with their number of events, and those with artifacts. */
async function left({ db } = database): Promise<{ events: Record<string, number>; artifacts: string[] }> {
  const counted = await db
    .selectFrom('events')
    .select(({ fn }) => ['job_id', fn.countAll<string>().as('events')])
    .groupBy('job_id')
    .execute();
  const artifacts = await db.selectFrom('artifacts').select('job_id').orderBy('job_id').execute();
  return {
    events: Object.fromEntries(counted.map(({ job_id, events }) => [job_id, Number(events)])),
    artifacts: artifacts.map(({ job_id }) => job_id),
  };
}

const daysAgo = (days: number): Date => new Date(Date.now() - days * DAY_MS);

describe('what is kept no longer', () => {
  beforeEach(async () => {
    const [, opened] = await newStore();
    database = opened;
    return () => opened.close();
  });

  test('the events and artifacts of jobs that ended long enough ago are deleted, and their settlements stay', async () => {
    await storeJob('old', 31);
    await storeJob('young', 29);
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 1, events: 4, artifacts: 1 });
    expect(await left()).toEqual({ events: { young: 4 }, artifacts: ['young'] });
    expect(await readResult(database.db, 'old')).toMatchObject({ outcome: 'completed' });
  });

  test('a job that was never settled may run still for a week after its last event', async () => {
    await storeJob('quiet', 6, { settled: false });
    await storeJob('terminated', 9, { settled: false });
    await storeJob('settled', 6);
    expect(await deleteExpired(database.db, daysAgo(1), never)).toMatchObject({ jobs: 2 });
    expect(await left()).toEqual({ events: { quiet: 3 }, artifacts: ['quiet'] });
  });

  test('a job that began long ago and told something since is kept whole', async () => {
    await storeJob('goes on', 31);
    await appendEvents(database.db, 'goes on', [{ source: 'new', body: { type: 'message', turn: 2, text: 'after a reset' } }]);
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 0, events: 0, artifacts: 0 });
    expect(await left()).toEqual({ events: { 'goes on': 5 }, artifacts: ['goes on'] });
  });

  test('many jobs and many events of one go in several transactions, all of them', async () => {
    await storeJob('long', 31, { events: 12_000 });
    for (let index = 0; index < 110; index += 1) await storeJob(`short-${index}`, 40, { settled: false, events: 1 });
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 111, events: 12_111, artifacts: 111 });
    expect(await left()).toEqual({ events: {}, artifacts: [] });
  });

  test('what was broken off in the middle of a job is finished by the next', async () => {
    await storeJob('long', 31, { events: 12_000 });
    const stop = new AbortController();
    const { db } = database;
    const first = deleteExpired(db, daysAgo(30), stop.signal);
    stop.abort();
    expect(await first).toMatchObject({ jobs: 0, events: 5000 });
    expect((await left()).events).toEqual({ long: 7001 });
    expect(await deleteExpired(db, daysAgo(30), never)).toMatchObject({ jobs: 1, events: 7001 });
    expect((await left()).events).toEqual({});
  });

  test('one process at a time deletes', async () => {
    await storeJob('old', 31);
    const other = await database.pool.connect();
    await other.query(`begin; select pg_advisory_xact_lock(hashtextextended('valetkey retention', 0))`);
    expect(await deleteExpired(database.db, daysAgo(30), never)).toMatchObject({ jobs: 0 });
    await other.query('commit');
    other.release();
    expect(await deleteExpired(database.db, daysAgo(30), never)).toMatchObject({ jobs: 1 });
  });
});
