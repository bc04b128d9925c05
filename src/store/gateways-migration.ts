import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Keys that a gateway of a third party has minted, and which gateways each worker is configured with. */
export const gateways: Migration = {
  up: async (db) => {
    await sql`
      alter table keys
        add column mint_attempts integer not null default 1,
        add column upstream_sealed text,
        add column upstream_id text`.execute(db);
    await sql`alter table workers add column gateways text[] not null default '{builtin}'`.execute(db);
    // The proxy accepts the keys of all gateways.
    await sql`
      do $$ begin
        execute replace(pg_get_functiondef('reserve_request'::regproc), 'own.gateway = ''builtin'' and ', '');
      end $$`.execute(db);
  },
};
