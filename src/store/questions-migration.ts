import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Finds the questions of a job, and what closed them, among its messages. */
export const questionEvents: Migration = {
  up: async (db) => {
    await sql`
      create index events_questions on events (job_id, seq)
      where type in ('permission.asked', 'permission.answered', 'turn.ended')`.execute(db);
  },
};
