import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** Jobs, and events of theirs, in one transaction. */
const JOBS = 100;
const EVENTS = 5_000;
/** A job lasts 7 days at most (job/spec.ts): one that told nothing for longer, and was never settled, was terminated. */
const LONGEST_JOB_DAYS = 8;

export interface Deleted {
  /** Jobs of which nothing is left but their keys and their settlement. */
  jobs: number;
  events: number;
  artifacts: number;
}

/**
 * Deletes the events and the artifacts of the jobs that ended before `cutoff`, in small transactions, until none is left, `stop`
 * is aborted or another process is at it. A job ended with its last event; one that was never settled, a week later.
 * Idempotent; the caller retries. Throws `database_unreachable`.
 */
export async function deleteExpired(db: Db, cutoff: Date, stop: AbortSignal): Promise<Deleted> {
  const total: Deleted = { jobs: 0, events: 0, artifacts: 0 };
  while (!stop.aborted) {
    const deleted = await asDatabaseError(db.transaction().execute((transaction) => deleteSome(transaction, cutoff)));
    if (deleted === null) break;
    total.jobs += deleted.jobs;
    total.events += deleted.events;
    total.artifacts += deleted.artifacts;
  }
  return total;
}

/** Null where there is nothing to do, or another is doing it. */
async function deleteSome(db: Db, cutoff: Date): Promise<Deleted | null> {
  const lock = await sql<{ taken: boolean }>`select pg_try_advisory_xact_lock(hashtextextended('valetkey retention', 0)) as taken`.execute(
    db,
  );
  if (lock.rows[0]?.taken !== true) return null;
  const { rows } = await sql<{ job_id: string }>`
    select job_id from events as first
    cross join lateral (select at from events where job_id = first.job_id order by seq desc limit 1) as last
    where first.seq = 1 and first.at < ${cutoff} and last.at < ${cutoff} and (
      exists (select from settlements where job_id = first.job_id)
      or last.at < now() - make_interval(days => ${LONGEST_JOB_DAYS})
    )
    order by first.at limit ${JOBS}`.execute(db);
  const ids = rows.map(({ job_id }) => job_id);
  if (ids.length === 0) return null;
  const artifacts = await db.deleteFrom('artifacts').where('job_id', 'in', ids).executeTakeFirst();
  // The first event of a job goes last: it is what the rest is found by.
  const events = await sql<{ seq: number }>`
    delete from events where (job_id, seq) in (
      select job_id, seq from events where job_id = any(${ids}) order by seq desc limit ${EVENTS}
    ) returning seq`.execute(db);
  return {
    jobs: events.rows.filter(({ seq }) => seq === 1).length,
    events: events.rows.length,
    artifacts: Number(artifacts.numDeletedRows),
  };
}
