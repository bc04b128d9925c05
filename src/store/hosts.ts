import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** A host that said nothing for so long is taken for one that is gone for good. */
const FORGET_AFTER = '7 days';

/** Notes that sandboxes of an owner are driven on a task queue of a host, and that it is there. Throws `database_unreachable`. */
export async function noteHost(db: Db, owner: string, taskQueue: string): Promise<void> {
  await asDatabaseError(
    sql`
      insert into hosts (owner, task_queue) values (${owner}, ${taskQueue})
      on conflict (owner, task_queue) do update set seen_at = now()`.execute(db),
  );
}

/** The task queues of an owner's hosts. Throws `database_unreachable`. */
export async function listHosts(db: Db, owner: string): Promise<string[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('hosts')
      .select('task_queue')
      .where('owner', '=', owner)
      .where(sql<boolean>`seen_at > now() - ${FORGET_AFTER}::interval`)
      .execute(),
  );
  return rows.map(({ task_queue }) => task_queue);
}
