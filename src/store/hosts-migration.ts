import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Which workers there are, and which sandbox is on which host: what finds a host that is gone, and its jobs. */
export const workersAndSandboxes: Migration = {
  up: async (db) => {
    await sql`drop table hosts`.execute(db);
    await sql`
      create table workers (
        owner text not null,
        id text not null,
        task_queue text not null,
        seen_at timestamptz not null default now(),
        primary key (owner, id)
      )`.execute(db);
    await sql`
      create table sandboxes (
        owner text not null,
        job_id text not null,
        id text not null,
        task_queue text not null,
        started_at timestamptz not null default now(),
        lost_at timestamptz,
        primary key (job_id, id)
      )`.execute(db);
    await sql`create index sandboxes_host on sandboxes (owner, task_queue)`.execute(db);
  },
};
