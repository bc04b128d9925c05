import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** A sandbox that only its own host can stop. */
export interface BoundSandbox {
  jobId: string;
  id: string;
}

/** Records that a host has a sandbox of a job. Idempotent. Throws `database_unreachable`. */
export async function noteSandbox(db: Db, owner: string, { jobId, id }: BoundSandbox, taskQueue: string): Promise<void> {
  await asDatabaseError(
    db
      .insertInto('sandboxes')
      .values({ owner, job_id: jobId, id, task_queue: taskQueue })
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
}

/** Deletes the record of a sandbox that has stopped. Idempotent. Throws `database_unreachable`. */
export async function forgetSandbox(db: Db, { jobId, id }: BoundSandbox): Promise<void> {
  await asDatabaseError(db.deleteFrom('sandboxes').where('job_id', '=', jobId).where('id', '=', id).execute());
}

/** Records that no job drives these sandboxes any more, so that their host stops them. Idempotent. Throws `database_unreachable`. */
export async function giveUpSandboxes(db: Db, of: { jobId: string; id?: string }): Promise<void> {
  const given = db
    .updateTable('sandboxes')
    .set({ lost_at: sql<Date>`now()` })
    .where('job_id', '=', of.jobId)
    .where('lost_at', 'is', null);
  await asDatabaseError((of.id === undefined ? given : given.where('id', '=', of.id)).execute());
}

/** Lists the sandboxes on hosts that their jobs drive, or with `givenUp` those that the hosts have to stop. Throws `database_unreachable`. */
export async function sandboxesOn(
  db: Db,
  owner: string,
  taskQueues: readonly string[],
  { givenUp }: { givenUp: boolean },
): Promise<BoundSandbox[]> {
  if (taskQueues.length === 0) return [];
  const rows = await asDatabaseError(
    db
      .selectFrom('sandboxes')
      .select(['job_id', 'id'])
      .where('owner', '=', owner)
      .where('task_queue', 'in', taskQueues)
      .where('lost_at', givenUp ? 'is not' : 'is', null)
      .execute(),
  );
  return rows.map(({ job_id, id }) => ({ jobId: job_id, id }));
}
