import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** The most of each in one transaction. */
const JOBS = 100;
const EVENTS = 5_000;
const REQUESTS = 5_000;
const PROMPTS = 500;
const IDLE_ROWS = 5_000;
/** A job lasts 7 days at most (job/spec.ts): one without a new event for longer that was never settled was terminated. */
const LONGEST_JOB_DAYS = 8;
/** What the gateways write all the time has a lifetime of its own. */
const IDLE_FOR = '1 day';

/** Rows that are gone. */
export interface Deleted {
  /** Jobs of which nothing is left but their keys and their settlement. */
  jobs: number;
  events: number;
  artifacts: number;
  /** Their usage stays in their keys. */
  requests: number;
}

/** One transaction: what it deleted, and whether another one may find more. */
type DeleteBatch = (db: Db) => Promise<{ deleted?: Partial<Deleted>; more: boolean }>;

/**
 * Deletes, in small transactions, the events, turns and artifacts of the jobs that ended before `cutoff`, and the requests that ended
 * before it with a key that has ended, too: until none is left, `stop` is aborted or another process is at it. A job ended with its
 * last event; one that was never settled, a week later. Rates and proxies that were not used for a day go as well. Idempotent; the
 * caller retries.
 * @throws `database_unreachable`
 */
export async function deleteExpired(db: Db, cutoff: Date, stop: AbortSignal): Promise<Deleted> {
  const total: Deleted = { jobs: 0, events: 0, artifacts: 0, requests: 0 };
  for (const deleteBatch of [jobRecords(cutoff), prompts(cutoff), requests(cutoff), rateBuckets, proxies]) {
    for (let more = true; more && !stop.aborted;) {
      const batch = await asDatabaseError(
        db.transaction().execute(async (transaction) => ((await takesLock(transaction)) ? deleteBatch(transaction) : null)),
      );
      if (batch === null) return total;
      const { jobs = 0, events = 0, artifacts = 0, requests: ended = 0 } = batch.deleted ?? {};
      total.jobs += jobs;
      total.events += events;
      total.artifacts += artifacts;
      total.requests += ended;
      more = batch.more;
    }
  }
  return total;
}

/** False where another process deletes at this moment. */
async function takesLock(db: Db): Promise<boolean> {
  const { rows } = await sql<{ taken: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('valetkey retention', 0)) as taken`.execute(db);
  return rows[0]?.taken === true;
}

function jobRecords(cutoff: Date): DeleteBatch {
  return async (db) => {
    const { rows } = await sql<{ job_id: string }>`
      select job_id from events as first
      cross join lateral (select at from events where job_id = first.job_id order by seq desc limit 1) as last
      where first.seq = 1 and first.at < ${cutoff} and last.at < ${cutoff} and (
        exists (select from settlements where job_id = first.job_id)
        or last.at < now() - make_interval(days => ${LONGEST_JOB_DAYS})
      )
      order by first.at limit ${JOBS}`.execute(db);
    const ids = rows.map(({ job_id }) => job_id);
    if (ids.length === 0) return { more: false };
    const artifacts = await db.deleteFrom('artifacts').where('job_id', 'in', ids).executeTakeFirst();
    await db.deleteFrom('turns').where('job_id', 'in', ids).execute();
    // The first event of a job goes last: it is what the rest is found by.
    const events = await sql<{ seq: number }>`
      delete from events where (job_id, seq) in (
        select job_id, seq from events where job_id = any(${ids}) order by seq desc limit ${EVENTS}
      ) returning seq`.execute(db);
    const jobs = events.rows.filter(({ seq }) => seq === 1).length;
    return { deleted: { jobs, events: events.rows.length, artifacts: Number(artifacts.numDeletedRows) }, more: true };
  };
}

/** A job reads its prompts while it runs. Those of a job that never started go as well. */
function prompts(cutoff: Date): DeleteBatch {
  return async (db) => {
    const { numAffectedRows } = await sql`
      delete from prompts where (job_id, sha256) in (
        select job_id, sha256 from prompts
        where stored_at < least(${cutoff}, now() - make_interval(days => ${LONGEST_JOB_DAYS})) limit ${PROMPTS}
      )`.execute(db);
    return { more: Number(numAffectedRows ?? 0) === PROMPTS };
  };
}

/** Goes through the rows by their id, which is the order of their start, up to those that are too young: it needs no index. */
function requests(cutoff: Date): DeleteBatch {
  let after = '0';
  return async (db) => {
    const { rows } = await sql<{ last: string | null; more: boolean; deleted: number }>`
      with batch as (
        select id, ref, started_at from requests where id > ${after} order by id limit ${REQUESTS}
      ), deleted as (
        delete from requests using batch, keys
        where requests.id = batch.id and keys.ref = batch.ref and keys.ended_at is not null and requests.ended_at < ${cutoff}
        returning requests.id
      )
      select max(id) as last, count(*) = ${REQUESTS} and min(started_at) < ${cutoff} as more,
             (select count(*)::int from deleted) as deleted
      from batch`.execute(db);
    const [row] = rows;
    after = row?.last ?? after;
    return { deleted: { requests: row?.deleted ?? 0 }, more: row?.more === true };
  };
}

/** A bucket that has been full for long is as good as none. The condition holds for the row as it is when it is deleted. */
async function rateBuckets(db: Db): ReturnType<DeleteBatch> {
  const { numAffectedRows } = await sql`
    delete from rate_buckets
    where scope in (select scope from rate_buckets where full_at < now() - ${IDLE_FOR}::interval limit ${IDLE_ROWS})
      and full_at < now() - ${IDLE_FOR}::interval`.execute(db);
  return { more: Number(numAffectedRows ?? 0) === IDLE_ROWS };
}

/** One whose requests nobody has charged yet stays. */
async function proxies(db: Db): ReturnType<DeleteBatch> {
  await sql`
    delete from proxies where seen_at < now() - ${IDLE_FOR}::interval
      and not exists (select from requests where proxy = proxies.id and ended_at is null)`.execute(db);
  return { more: false };
}
