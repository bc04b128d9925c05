import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** A sandbox that only its own host can end. */
export interface BoundSandbox {
  jobId: string;
  id: string;
}

/** Notes that a host has a sandbox of a job. Idempotent. Throws `database_unreachable`. */
export async function noteSandbox(db: Db, owner: string, { jobId, id }: BoundSandbox, taskQueue: string): Promise<void> {
  await asDatabaseError(
    db
      .insertInto('sandboxes')
      .values({ owner, job_id: jobId, id, task_queue: taskQueue })
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
}

/** Forgets a sandbox that has ended. Idempotent. Throws `database_unreachable`. */
export async function forgetSandbox(db: Db, { jobId, id }: BoundSandbox): Promise<void> {
  await asDatabaseError(db.deleteFrom('sandboxes').where('job_id', '=', jobId).where('id', '=', id).execute());
}

/** Notes that no job drives these sandboxes any more, so that their host ends them. Idempotent. Throws `database_unreachable`. */
export async function giveUpSandboxes(db: Db, of: { jobId: string; id?: string }): Promise<void> {
  const given = db
    .updateTable('sandboxes')
    .set({ lost_at: sql<Date>`now()` })
    .where('job_id', '=', of.jobId)
    .where('lost_at', 'is', null);
  await asDatabaseError((of.id === undefined ? given : given.where('id', '=', of.id)).execute());
}

/** The sandboxes on a host that their jobs drive, or with `givenUp` those that the host has to end. Throws `database_unreachable`. */
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
