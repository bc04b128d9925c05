import { sql } from 'kysely';

import type { PermissionDecision } from '../contract/status.ts';
import { asDatabaseError, type Db } from './database.ts';

/**
 * Reads the decisions about the answered questions of a turn, by question id.
 * @throws `database_unreachable`
 */
export async function readDecisions(db: Db, jobId: string, turn: number): Promise<Map<string, PermissionDecision>> {
  const { rows } = await asDatabaseError(
    sql<PermissionDecision & { id: string }>`
      select body ->> 'id' as id, body ->> 'answer' as answer, body ->> 'by' as by from events
      where job_id = ${jobId} and type = 'permission.answered' and body -> 'turn' = to_jsonb(${turn}::int)`.execute(db),
  );
  return new Map(rows.map(({ id, answer, by }) => [id, { answer, by }]));
}

/**
 * Reads the turn of a question that a job's agent waits for, from the events of the job, which are stored before the workflow learns of
 * the question. Null where the question does not exist or is answered.
 * @throws `database_unreachable`
 */
export async function readOpenQuestion(db: Db, jobId: string, question: string): Promise<number | null> {
  // Postgres does not accept a NUL in a text.
  if (question.includes('\0')) return null;
  const sources = [`question:${question}:asked`, `question:${question}:answered`];
  const rows = await asDatabaseError(
    db
      .selectFrom('events')
      .select(['type', sql<number>`(body ->> 'turn')::int`.as('turn')])
      .where('job_id', '=', jobId)
      .where('source', 'in', sources)
      .execute(),
  );
  const [asked] = rows;
  return rows.length === 1 && asked?.type === 'permission.asked' ? asked.turn : null;
}
