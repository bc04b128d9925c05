import { sql, type RawBuilder } from 'kysely';

import { parseEventBody, readEventBody, type JobEvent, type JobEventBody, type UnknownEventBody } from '../contract/events.ts';
import { storable } from '../contract/text.ts';
import { asDatabaseError, type Db } from './database.ts';

const PAGE = 500;

/** An event and the name of its occurrence: a repeat with the same `source` is stored once. */
export interface SourcedEvent {
  source: string;
  body: JobEventBody;
}

/**
 * Stores events of one job after those that are there, in the order given, and wakes those who follow it. Any number of
 * processes may write at once: `seq` has no gaps. Throws `database_unreachable`.
 */
export async function appendEvents(db: Db, jobId: string, events: readonly SourcedEvent[]): Promise<void> {
  if (events.length === 0) return;
  await asDatabaseError(sql`select ${appended(jobId, events)}`.execute(db));
}

/** The expression that appends, for those who have something to write or to read with it. Throws a ZodError for an event of no known form. */
export function appended(jobId: string, events: readonly SourcedEvent[]): RawBuilder<unknown> {
  const checked = events.map(({ source, body }) => ({ source, body: parseEventBody(body) }));
  return sql`append_events(${jobId}, ${JSON.stringify(checked, storableTexts)}::jsonb)`;
}

/** An agent can print what Postgres' JSON does not have, and a cut can leave it. */
function storableTexts(_name: string, value: unknown): unknown {
  return typeof value === 'string' ? storable(value) : value;
}

/** The events of a job with a `seq` over `after`, in order, at most 500; those that this build does not know are `unknown`. Throws `database_unreachable`. */
export async function readEvents(db: Db, jobId: string, after: number): Promise<JobEvent[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('events')
      .select(['seq', 'at', 'body'])
      .where('job_id', '=', jobId)
      .where('seq', '>', after)
      .orderBy('seq')
      .limit(PAGE)
      .execute(),
  );
  return rows.map(({ seq, at, body }) => ({ ...readEventBody(body), seq, at: at.toISOString() }));
}

/** The event that was stored with that source; null where none was. Throws `database_unreachable`. */
export async function eventOf(db: Db, jobId: string, source: string): Promise<JobEventBody | UnknownEventBody | null> {
  const row = await asDatabaseError(
    db.selectFrom('events').select('body').where('job_id', '=', jobId).where('source', '=', source).executeTakeFirst(),
  );
  return row === undefined ? null : readEventBody(row.body);
}

/** Returns whether the agent may have received the prompt of a turn: whether an attempt at the turn has begun. Throws `database_unreachable`. */
export async function hasBegunTurn(db: Db, jobId: string, turn: number): Promise<boolean> {
  const row = await asDatabaseError(
    db
      .selectFrom('events')
      .select('seq')
      .where('job_id', '=', jobId)
      .where('type', '=', 'turn.started')
      .where(sql<boolean>`body ->> 'turn' = ${String(turn)}`)
      .executeTakeFirst(),
  );
  return row !== undefined;
}
