import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/**
 * Returns whether the store has a key, a settlement, an event or an artifact of a job with this id. Keys and settlements are never deleted,
 * so an id that had a key stays used. Prompts do not count: they are stored before their job starts.
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
