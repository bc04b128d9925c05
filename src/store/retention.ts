import { sql } from 'kysely';

import { deleteCheckpointParts } from './checkpoints.ts';
import { asDatabaseError, type Db } from './database.ts';
import { deleteWorkerFiles } from './worker-files.ts';
import { deleteStartContent } from './workspace-starts.ts';

/** Limits of one transaction. */
const MAX_JOBS = 100;
const MAX_EVENTS = 5_000;
const MAX_REQUESTS = 5_000;
const MAX_PROMPTS = 500;
const MAX_IDLE_ROWS = 5_000;
/** A job lasts at most 30 days (contract/spec.ts): an unsettled job without an event for longer was terminated. */
const MAX_JOB_DAYS = 31;
/** Rows that the gateways update all the time are deleted after this time without an update. */
const IDLE_ROW_LIFETIME = '1 day';

/** The number of deleted rows. */
export interface Deleted {
  /** Jobs of which only the keys and the settlement remain. */
  jobs: number;
  events: number;
  artifacts: number;
  /** The usage of deleted requests stays in the rows of their keys. */
  requests: number;
}

/** One transaction: resolves to the rows that it deleted, and whether another one may find more. */
type DeleteBatch = (db: Db) => Promise<{ deleted?: Partial<Deleted>; more: boolean }>;

/**
 * Deletes, in small transactions, the events, turns and artifacts of jobs that ended before `cutoff`, and the requests of ended keys that
 * ended before it: until none is left, `stop` is aborted, or another process does the same. A job ended with its last event; a job that was
 * never settled, a week later. Rates and proxies that were not used for a day are deleted as well. Idempotent; the caller retries.
 * @throws `database_unreachable`
 */
export async function deleteExpired(db: Db, cutoff: Date, stop: AbortSignal): Promise<Deleted> {
  const total: Deleted = { jobs: 0, events: 0, artifacts: 0, requests: 0 };
  for (const deleteBatch of [
    jobRecords(cutoff),
    prompts(cutoff),
    requests(cutoff),
    checkpointsWithoutJob,
    workspaceStarts,
    rateBuckets,
    proxies,
  ]) {
    for (let more = true; more && !stop.aborted;) {
      const batch = await asDatabaseError(
        db.transaction().execute(async (transaction) => ((await tryLock(transaction)) ? deleteBatch(transaction) : null)),
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

/** Takes the lock of the retention; false where another process holds it. */
async function tryLock(db: Db): Promise<boolean> {
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
        or last.at < now() - make_interval(days => ${MAX_JOB_DAYS})
      )
      order by first.at limit ${MAX_JOBS}`.execute(db);
    const ids = rows.map(({ job_id }) => job_id);
    if (ids.length === 0) return { more: false };
    const artifacts = await db.deleteFrom('artifacts').where('job_id', 'in', ids).executeTakeFirst();
    await deleteWorkerFiles(db, ids);
    await db.deleteFrom('turns').where('job_id', 'in', ids).execute();
    const checkpoints = await db.deleteFrom('checkpoints').where('job_id', 'in', ids).returning(['job_id', 'turn']).execute();
    for (const { job_id, turn } of checkpoints) await deleteCheckpointParts(db, job_id, turn);
    // The first event of a job is deleted last: the others are found by it.
    const events = await sql<{ seq: number }>`
      delete from events where (job_id, seq) in (
        select job_id, seq from events where job_id = any(${ids}) order by seq desc limit ${MAX_EVENTS}
      ) returning seq`.execute(db);
    const jobs = events.rows.filter(({ seq }) => seq === 1).length;
    return { deleted: { jobs, events: events.rows.length, artifacts: Number(artifacts.numDeletedRows) }, more: true };
  };
}

/** Deletes prompts. A job reads its prompts while it runs, so none is deleted within the longest duration of a job. */
function prompts(cutoff: Date): DeleteBatch {
  return async (db) => {
    const { numAffectedRows } = await sql`
      delete from prompts where (job_id, sha256) in (
        select job_id, sha256 from prompts
        where stored_at < least(${cutoff}, now() - make_interval(days => ${MAX_JOB_DAYS})) limit ${MAX_PROMPTS}
      )`.execute(db);
    return { more: Number(numAffectedRows ?? 0) === MAX_PROMPTS };
  };
}

/** Deletes checkpoints that were copied for a job that never began. */
async function checkpointsWithoutJob(db: Db): ReturnType<DeleteBatch> {
  const { rows } = await sql<{ job_id: string; turn: number }>`
    delete from checkpoints where job_id in (
      select job_id from checkpoints as copied
      where turn = 0 and stored_at < now() - make_interval(days => ${MAX_JOB_DAYS})
        and not exists (select from events where job_id = copied.job_id)
      limit ${MAX_JOBS}
    ) returning job_id, turn`.execute(db);
  for (const { job_id, turn } of rows) await deleteCheckpointParts(db, job_id, turn);
  return { more: rows.length === MAX_JOBS };
}

/** Deletes what workspaces started from, where no checkpoint needs it. A job that is between its start and its first checkpoint has just used it. */
async function workspaceStarts(db: Db): ReturnType<DeleteBatch> {
  const { rows } = await sql<{ tenant: string; start_commit: string }>`
    delete from workspace_starts where (tenant, start_commit) in (
      select tenant, start_commit from workspace_starts as start
      where used_at < now() - make_interval(days => ${MAX_JOB_DAYS})
        and not exists (select from checkpoints where tenant = start.tenant and start_commit = start.start_commit)
      limit ${MAX_JOBS}
    ) returning tenant, start_commit`.execute(db);
  for (const { tenant, start_commit: startCommit } of rows) await deleteStartContent(db, { tenant, startCommit });
  return { more: rows.length === MAX_JOBS };
}

/** Deletes requests in the order of their ids, which is that of their start, up to the first that is too young: this needs no index. */
function requests(cutoff: Date): DeleteBatch {
  let after = '0';
  return async (db) => {
    const { rows } = await sql<{ last: string | null; more: boolean; deleted: number }>`
      with batch as (
        select id, ref, started_at from requests where id > ${after} order by id limit ${MAX_REQUESTS}
      ), deleted as (
        delete from requests using batch, keys
        where requests.id = batch.id and keys.ref = batch.ref and keys.ended_at is not null and requests.ended_at < ${cutoff}
        returning requests.id
      )
      select max(id) as last, count(*) = ${MAX_REQUESTS} and min(started_at) < ${cutoff} as more,
             (select count(*)::int from deleted) as deleted
      from batch`.execute(db);
    const [row] = rows;
    after = row?.last ?? after;
    return { deleted: { requests: row?.deleted ?? 0 }, more: row?.more === true };
  };
}

/** Deletes full buckets, which equal absent ones. The condition is repeated, so that it holds when the row is deleted. */
async function rateBuckets(db: Db): ReturnType<DeleteBatch> {
  const { numAffectedRows } = await sql`
    delete from rate_buckets
    where scope in (select scope from rate_buckets where full_at < now() - ${IDLE_ROW_LIFETIME}::interval limit ${MAX_IDLE_ROWS})
      and full_at < now() - ${IDLE_ROW_LIFETIME}::interval`.execute(db);
  return { more: Number(numAffectedRows ?? 0) === MAX_IDLE_ROWS };
}

/** Deletes lost proxies, except those with requests that are not charged yet. */
async function proxies(db: Db): ReturnType<DeleteBatch> {
  await sql`
    delete from proxies where seen_at < now() - ${IDLE_ROW_LIFETIME}::interval
      and not exists (select from requests where proxy = proxies.id and ended_at is null)`.execute(db);
  return { more: false };
}
