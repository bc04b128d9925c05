import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The last two checkpoints of each job, and what the workspaces of a tenant started from. */
export const checkpointTables: Migration = {
  up: async (db) => {
    await sql`
      create table checkpoints (
        job_id text not null,
        tenant text not null,
        agent text not null,
        turn integer not null,
        start_commit text not null,
        session jsonb not null,
        bytes integer not null,
        complete boolean not null,
        stored_at timestamptz not null default now(),
        primary key (job_id, turn)
      )`.execute(db);
    await sql`create index checkpoints_start on checkpoints (tenant, start_commit)`.execute(db);
    await sql`
      create table workspace_starts (
        tenant text not null,
        start_commit text not null,
        bytes integer not null,
        used_at timestamptz not null default now(),
        primary key (tenant, start_commit)
      )`.execute(db);
    await sql`
      create table blobs (
        key text not null,
        part integer not null,
        content bytea not null,
        primary key (key, part)
      )`.execute(db);
    // Packs and archives are compressed already.
    await sql`alter table blobs alter column content set storage external`.execute(db);
  },
};
