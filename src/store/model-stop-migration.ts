import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Why the model stopped, where that was not the end of its turn. */
export const modelStops: Migration = {
  up: async (db) => {
    await sql`alter table requests add column stop text`.execute(db);
  },
};
