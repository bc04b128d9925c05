import { sql, type InsertQueryBuilder, type InsertResult } from 'kysely';

import type { TurnResult } from '../contract/result.ts';
import { endOfText, storable } from '../contract/text.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';
import type { Schema } from './schema.ts';

/** Limits a turn's message in the result of its job: the events have all of it. */
const MAX_RESULT_CHARS = 4096;

/** A turn that ended with a stop reason. */
export interface EndedTurnRow extends TurnResult {
  /** The number of the turn, from 1. */
  turn: number;
}

/**
 * Stores the end of a turn with its events, and resolves to what the job has spent by then in USD, in one round trip. Throws
 * `database_unreachable`.
 */
export async function endTurn(db: Db, jobId: string, turn: EndedTurnRow, events: readonly SourcedEvent[]): Promise<number> {
  const spent = sql`select sum(spent_usd) from keys where job_id = ${jobId}`;
  const { rows } = await asDatabaseError(
    sql<{ spent: string | null }>`
      with storing as (${upsertTurn(db, jobId, turn)}) select (${spent}) as spent, ${appended(jobId, events)}`.execute(db),
  );
  return Number(rows[0]?.spent ?? 0);
}

/** Builds the statement that stores the end of a turn; a repeat replaces the row. */
export function upsertTurn(
  db: Db,
  jobId: string,
  { turn, stopReason, message }: EndedTurnRow,
): InsertQueryBuilder<Schema, 'turns', InsertResult> {
  const row = { stop_reason: stopReason, message: Buffer.from(message), ended_at: new Date() };
  return db
    .insertInto('turns')
    .values({ job_id: jobId, turn, ...row })
    .onConflict((conflict) => conflict.columns(['job_id', 'turn']).doUpdateSet(row));
}

/**
 * Reads the results of a job's first `count` turns, in order: later turns were undone by a reset.
 * @throws `database_unreachable`
 */
export async function readTurns(db: Db, jobId: string, count: number): Promise<TurnResult[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('turns')
      .select(['stop_reason', 'message'])
      .where('job_id', '=', jobId)
      .where('turn', '<=', count)
      .orderBy('turn')
      .execute(),
  );
  return rows.map(({ stop_reason: stopReason, message }) => ({
    stopReason,
    message: storable(endOfText(message.toString(), MAX_RESULT_CHARS)),
  }));
}

/**
 * Reads the agent's text of a turn, as the session stored it; empty where the turn did not end with a stop reason.
 * @throws `database_unreachable`
 */
export async function readTurnMessage(db: Db, jobId: string, turn: number): Promise<string> {
  const row = await asDatabaseError(
    db.selectFrom('turns').select('message').where('job_id', '=', jobId).where('turn', '=', turn).executeTakeFirst(),
  );
  return row?.message.toString() ?? '';
}
