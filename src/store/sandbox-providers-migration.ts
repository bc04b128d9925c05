import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Which sandbox providers each worker is configured with. */
export const sandboxProviders: Migration = {
  up: async (db) => {
    await sql`alter table workers add column sandbox_providers text[] not null default '{local}'`.execute(db);
  },
};
