import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Logins to plans: who refreshes one, which version a refresh stored, and which the provider refused to refresh. */
export const logins: Migration = {
  up: async (db) => {
    await sql`
      alter table upstream_credentials
        add column refreshed boolean not null default false,
        add column refresher text,
        add column refresher_until timestamptz,
        add column needs_login_at timestamptz`.execute(db);
  },
};
