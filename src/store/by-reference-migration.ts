import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What Temporal holds by reference: prompts and the results of turns; and which lease and run a settlement is of. */
export const byReference: Migration = {
  up: async (db) => {
    await sql`
      create table prompts (
        job_id text not null,
        sha256 text not null,
        text bytea not null,
        stored_at timestamptz not null default now(),
        primary key (job_id, sha256)
      )`.execute(db);
    await sql`create index prompts_stored on prompts (stored_at)`.execute(db);
    await sql`
      create table turns (
        job_id text not null,
        turn integer not null,
        stop_reason text not null,
        message bytea not null,
        ended_at timestamptz not null default now(),
        primary key (job_id, turn)
      )`.execute(db);
    await sql`
      alter table settlements
        add column lease_id text not null default '',
        add column run_id text not null default ''`.execute(db);
  },
};
