import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** Carries the ids of jobs. */
export const STOP_CHANNEL = 'valetkey_stops';

/** Has the steps of a job that run look at once whether they are to stop. Throws `database_unreachable`. */
export async function announceStop(db: Db, jobId: string): Promise<void> {
  await asDatabaseError(sql`select pg_notify(${STOP_CHANNEL}, ${jobId})`.execute(db));
}
