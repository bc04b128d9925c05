import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';

import type { KeyRef } from '../../src/contract/ref.ts';
import { storeArtifact } from '../../src/store/artifacts.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { appendEvents } from '../../src/store/events.ts';
import { readPrompt, storePrompts } from '../../src/store/prompts.ts';
import { deleteExpired } from '../../src/store/retention.ts';
import { readResult, settle } from '../../src/store/settlements.ts';
import { readTurns, upsertTurn } from '../../src/store/turns.ts';
import { newDatabase } from '../helpers/database.ts';

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
    const parts = {
      failure: null,
      turns: [],
      keys: [],
      artifacts: [],
      sandboxLost: false,
      push: null,
      workspace: { complete: true, omitted: [], more: 0 },
    };
    const settler = { leaseId: 'lease', runId: 'run' };
    await settle(db, { jobId, tenant: 'acme', agent: 'codex', outcome: 'completed', usage, ...parts, ...times }, settler, [
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

/** A key, and so many requests of it that ended so many days ago; null: that run. */
async function storeRequests(jobId: string, count: number, days: number | null, { keyEnded = true } = {}): Promise<void> {
  const { db } = database;
  const ref: KeyRef = `${jobId}/lease/1`;
  const endedAt = keyEnded ? sql`now()` : null;
  await sql`
    insert into keys (ref, job_id, tenant, generation, gateway, state, models, budget_usd, spent_usd, input_tokens, requests,
                      expires_at, hard_expires_at, ended_at)
    values (${ref}, ${jobId}, 'acme', 1, 'builtin', 'revoked', '{gpt-5.1}', 10, 1.25, 1000, ${count}, now(), now(), ${endedAt})
    on conflict (ref) do nothing`.execute(db);
  const at = daysAgo(days ?? 100);
  await sql`
    insert into requests (ref, protocol, status, usd, started_at, ended_at)
    select ${ref}, 'responses', 200, 0.000001, ${at}::timestamptz - interval '1 minute', ${days === null ? null : at}::timestamptz
    from generate_series(1, ${count})`.execute(db);
}

/** The number of requests that are left, by key. */
async function requestsLeft(): Promise<Record<string, number>> {
  const { rows } = await sql<{ ref: string; left: number }>`
    select ref, count(*)::int as left from requests group by ref`.execute(database.db);
  return Object.fromEntries(rows.map(({ ref, left: count }) => [ref, count]));
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
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 1, events: 4, artifacts: 1, requests: 0 });
    expect(await left()).toEqual({ events: { young: 4 }, artifacts: ['young'] });
    expect(await readResult(database.db, 'old')).toMatchObject({ outcome: 'completed' });
  });

  test('the turns of such a job go with its events, and prompts once no job can be at them any more', async () => {
    const { db } = database;
    const turn = { turn: 1, stopReason: 'end_turn', message: 'a \0 b' };
    for (const jobId of ['old', 'young']) {
      await storeJob(jobId, jobId === 'old' ? 31 : 29);
      await upsertTurn(db, jobId, turn).execute();
    }
    await storePrompts(db, 'old', ['one']);
    const [ref] = await storePrompts(db, 'week', ['one', 'one', 'two \0 \u{1F600}']);
    await db
      .updateTable('prompts')
      .set({ stored_at: daysAgo(7) })
      .where('job_id', '=', 'week')
      .execute();
    await db
      .updateTable('prompts')
      .set({ stored_at: daysAgo(31) })
      .where('job_id', '=', 'old')
      .execute();
    await deleteExpired(db, daysAgo(30), never);
    await deleteExpired(db, daysAgo(1), never);
    const kept = await db.selectFrom('prompts').select('job_id').execute();
    expect(kept.map(({ job_id }) => job_id)).toEqual(['week', 'week']);
    expect(await readPrompt(db, 'week', ref ?? { sha256: '', bytes: 0, words: '' })).toBe('one');
    await expect(readPrompt(db, 'old', ref ?? { sha256: '', bytes: 0, words: '' })).rejects.toMatchObject({ code: 'prompt_missing' });
    expect(await readTurns(db, 'old', 1)).toEqual([]);
  });

  test('a job that was never settled may run still for a month after its last event', async () => {
    await storeJob('quiet', 29, { settled: false });
    await storeJob('terminated', 33, { settled: false });
    await storeJob('settled', 29);
    expect(await deleteExpired(database.db, daysAgo(1), never)).toMatchObject({ jobs: 2 });
    expect(await left()).toEqual({ events: { quiet: 3 }, artifacts: ['quiet'] });
  });

  test('a job that began long ago and told something since is kept whole', async () => {
    await storeJob('goes on', 31);
    await appendEvents(database.db, 'goes on', [{ source: 'new', body: { type: 'message', turn: 2, text: 'after a reset' } }]);
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 0, events: 0, artifacts: 0, requests: 0 });
    expect(await left()).toEqual({ events: { 'goes on': 5 }, artifacts: ['goes on'] });
  });

  test('many jobs and many events of one go in several transactions, all of them', async () => {
    await storeJob('long', 31, { events: 12_000 });
    for (let index = 0; index < 110; index += 1) await storeJob(`short-${index}`, 40, { settled: false, events: 1 });
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 111, events: 12_111, artifacts: 111, requests: 0 });
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

  test('requests go that ended long enough ago with a key that has ended; sums and settlements stay', async () => {
    await storeJob('job', 29);
    await storeRequests('job', 3, 31);
    await storeRequests('job', 2, 29);
    await storeRequests('job', 1, null);
    await storeRequests('runs', 4, 31, { keyEnded: false });
    const sums = () => database.db.selectFrom('keys').selectAll().orderBy('ref').execute();
    const before = [await sums(), await readResult(database.db, 'job')];
    expect(await deleteExpired(database.db, daysAgo(30), never)).toEqual({ jobs: 0, events: 0, artifacts: 0, requests: 3 });
    expect(await requestsLeft()).toEqual({ 'job/lease/1': 3, 'runs/lease/1': 4 });
    expect([await sums(), await readResult(database.db, 'job')]).toEqual(before);
  });

  test('an old request is found behind thousands that stay', async () => {
    await storeRequests('runs', 12_000, 60, { keyEnded: false });
    await storeRequests('old', 1, 31);
    await storeRequests('young', 6_000, 1);
    expect(await deleteExpired(database.db, daysAgo(30), never)).toMatchObject({ requests: 1 });
    expect(await requestsLeft()).toEqual({ 'runs/lease/1': 12_000, 'young/lease/1': 6_000 });
  });

  test('many requests go in batches of a bounded size, and two processes at once count each once', async () => {
    await sql`create table batches (rows integer)`.execute(database.db);
    await sql`
      create function count_batch() returns trigger language plpgsql as $$
      begin insert into batches select count(*) from gone having count(*) > 0; return null; end $$`.execute(database.db);
    await sql`
      create trigger batch after delete on requests referencing old table as gone
      for each statement execute function count_batch()`.execute(database.db);
    await storeRequests('old', 20_000, 31);
    const [one, other] = await Promise.all([1, 2].map(() => deleteExpired(database.db, daysAgo(30), never)));
    const rest = await deleteExpired(database.db, daysAgo(30), never);
    expect((one?.requests ?? 0) + (other?.requests ?? 0) + rest.requests).toBe(20_000);
    expect(await requestsLeft()).toEqual({});
    const { rows } = await sql<{ rows: number }>`select rows from batches`.execute(database.db);
    expect(Math.max(...rows.map((batch) => batch.rows))).toBeLessThanOrEqual(5_000);
  });

  test('rates and proxies go that were not used for a day, but not a proxy whose requests are open', async () => {
    const { db } = database;
    await sql`insert into rate_buckets (scope, full_at) select 'old/' || n, now() - interval '25 hours' from generate_series(1, 12000) n`.execute(
      db,
    );
    await sql`insert into rate_buckets (scope, full_at) values ('new', now() - interval '23 hours')`.execute(db);
    await sql`
      insert into proxies (id, seen_at) select id, now() - make_interval(hours => hours)
      from (values ('old', 25), ('owes', 25), ('new', 23)) as proxy (id, hours)`.execute(db);
    await storeRequests('job', 1, null);
    await sql`update requests set proxy = 'owes'`.execute(db);
    await deleteExpired(db, daysAgo(30), never);
    expect(await db.selectFrom('rate_buckets').select('scope').execute()).toEqual([{ scope: 'new' }]);
    expect(await db.selectFrom('proxies').select('id').orderBy('id').execute()).toEqual([{ id: 'new' }, { id: 'owes' }]);
  });
});
