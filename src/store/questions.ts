import { sql } from 'kysely';

import { readEventBody } from '../contract/events.ts';
import type { StoredQuestion } from '../contract/job-summary.ts';
import type { PermissionDecision, QuestionSubject } from '../contract/status.ts';
import { asDatabaseError, type Db } from './database.ts';
import { eventOf } from './events.ts';

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

/**
 * The questions of some jobs that nobody has answered, in turns that have not ended, the oldest first.
 * @throws `database_unreachable`
 */
export async function readOpenQuestions(db: Db, jobIds: readonly string[]): Promise<StoredQuestion[]> {
  if (jobIds.length === 0) return [];
  const { rows } = await asDatabaseError(
    sql<{ job_id: string; at: Date; body: unknown }>`
      select job_id, at, body from events as asked
      where job_id = any(${jobIds}) and type = 'permission.asked'
        and not exists (
          select from events as later
          where later.job_id = asked.job_id and later.seq > asked.seq
            and (later.type = 'permission.answered' and later.body -> 'id' = asked.body -> 'id'
              or later.type = 'turn.ended' and later.body -> 'turn' = asked.body -> 'turn'))
      order by at, job_id, seq`.execute(db),
  );
  return rows.flatMap(({ job_id: jobId, at, body }) => {
    const event = readEventBody(body);
    if (event.type !== 'permission.asked') return [];
    const { id, turn, title, kind, toolCall, details } = event;
    return [{ jobId, id, turn, title, kind, toolCall, details, askedAt: at.toISOString() }];
  });
}

/**
 * What a question of a job is about; nothing where the store does not know the question.
 * @throws `database_unreachable`
 */
export async function readQuestionSubject(db: Db, jobId: string, question: string): Promise<QuestionSubject> {
  const event = await eventOf(db, jobId, `question:${question}:asked`);
  if (event?.type !== 'permission.asked') return { toolCall: null, details: null };
  const { toolCall, details } = event;
  return { toolCall, details };
}

/**
 * Whether a question of a job was asked once more later, and answered: with the same text, by another process of the agent.
 * @throws `database_unreachable`
 */
export async function hasRepeated(
  db: Db,
  jobId: string,
  { id, title, kind, details }: Pick<StoredQuestion, 'id' | 'title' | 'kind' | 'details'>,
): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql`
      select from events as asked
      join events as answered on answered.job_id = asked.job_id and answered.source = 'question:' || (asked.body ->> 'id') || ':answered'
      where asked.job_id = ${jobId} and asked.type = 'permission.asked'
        and asked.seq > (select seq from events where job_id = ${jobId} and source = ${`question:${id}:asked`})
        and asked.body ->> 'title' = ${title}
        and asked.body ->> 'kind' is not distinct from ${kind}
        and asked.body ->> 'details' is not distinct from ${details}
      limit 1`.execute(db),
  );
  return rows.length > 0;
}
