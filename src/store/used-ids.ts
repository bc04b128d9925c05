import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/**
 * Whether anything of a job of this id is in the store: a key, a settlement, an event or an artifact. Keys and settlements stay for ever,
 * so an id that had a key is used for ever. Prompts do not count: they are stored before their job is there.
 * @throws `database_unreachable`
 */
export async function isIdUsed(db: Db, jobId: string): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql<{ used: boolean }>`
      select exists (select from keys where job_id = ${jobId}) or exists (select from settlements where job_id = ${jobId})
          or exists (select from events where job_id = ${jobId}) or exists (select from artifacts where job_id = ${jobId}) as used`.execute(
      db,
    ),
  );
  return rows[0]?.used === true;
}
