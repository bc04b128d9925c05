import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The strategy of each key, and several named credentials per owner. */
export const credentials: Migration = {
  up: async (db) => {
    await sql`
      alter table keys add column credential jsonb not null default '{"strategy": "gateway", "gateway": "builtin"}';
      alter table upstream_credentials
        add column name text not null default 'default',
        add column last_used_at timestamptz,
        drop constraint upstream_credentials_pkey,
        add primary key (dialect, tenant, name, version)`.execute(db);
  },
};
