import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Since when a worker takes no more work and moves its jobs to other hosts. */
export const workerDrain: Migration = {
  up: async (db) => {
    await sql`alter table workers add column draining_at timestamptz`.execute(db);
  },
};
