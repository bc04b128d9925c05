import { sql } from 'kysely';

import { asDatabaseError, type Db } from './database.ts';

/** The payload of a notice on this channel is a job id. */
export const STOP_CHANNEL = 'valetkey_stops';

/** Makes the running activities of a job check at once whether they have to stop. Throws `database_unreachable`. */
export async function announceStop(db: Db, jobId: string): Promise<void> {
  await asDatabaseError(sql`select pg_notify(${STOP_CHANNEL}, ${jobId})`.execute(db));
}
