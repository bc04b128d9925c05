import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** A worker that reported nothing for so long is forgotten. */
const FORGET_AFTER = '1 day';
const GIVEN_UP_FOR = '90 days';
/** One that restarts is present meanwhile. */
const PRESENT_FOR = '1 minute';

/** A worker process: its identity at Temporal, and the task queue of its host. */
export interface WorkerProcess {
  id: string;
  taskQueue: string;
}

/** A worker as it was seen last. */
export interface SeenWorker extends WorkerProcess {
  seenAtMs: number;
  /** ms since then, by the store's own clock. */
  agoMs: number;
}

/** Notes that a worker process is alive. Idempotent. Throws `database_unreachable`. */
export async function reportAlive(db: Db, owner: string, { id, taskQueue }: WorkerProcess): Promise<void> {
  await asDatabaseError(
    sql`
      insert into workers (owner, id, task_queue) values (${owner}, ${id}, ${taskQueue})
      on conflict (owner, id) do update set seen_at = now()`.execute(db),
  );
}

/** The worker processes of an owner, those that have ended included, for a day. Throws `database_unreachable`. */
export async function listWorkers(db: Db, owner: string): Promise<SeenWorker[]> {
  const { rows } = await asDatabaseError(
    sql<{ id: string; task_queue: string; seen_at: Date; ago_ms: number }>`
      select id, task_queue, seen_at, (extract(epoch from now() - seen_at) * 1000)::float8 as ago_ms
      from workers where owner = ${owner} and seen_at > now() - ${FORGET_AFTER}::interval`.execute(db),
  );
  return rows.map(({ id, task_queue, seen_at, ago_ms }) => ({ id, taskQueue: task_queue, seenAtMs: seen_at.getTime(), agoMs: ago_ms }));
}

/** The task queues of the hosts that have a worker now. Throws `database_unreachable`. */
export async function presentHosts(db: Db, owner: string): Promise<string[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('workers')
      .select('task_queue')
      .distinct()
      .where('owner', '=', owner)
      .where(sql<boolean>`seen_at > now() - ${PRESENT_FOR}::interval`)
      .execute(),
  );
  return rows.map(({ task_queue }) => task_queue);
}

/** Forgets workers of long ago, and sandboxes that their hosts have not come back for. Throws `database_unreachable`. */
export async function forgetLongGone(db: Db, owner: string): Promise<void> {
  await asDatabaseError(sql`delete from sandboxes where owner = ${owner} and lost_at < now() - ${GIVEN_UP_FOR}::interval`.execute(db));
  await asDatabaseError(sql`delete from workers where owner = ${owner} and seen_at < now() - ${FORGET_AFTER}::interval`.execute(db));
}
