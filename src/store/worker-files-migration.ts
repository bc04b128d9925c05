import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The worker's own files of remote sandboxes, which no host has. */
export const workerFiles: Migration = {
  up: async (db) => {
    await sql`
      create table worker_files (
        job_id text not null,
        sandbox text not null,
        part integer not null,
        content bytea not null,
        primary key (job_id, sandbox, part)
      )`.execute(db);
    // It is compressed already.
    await sql`alter table worker_files alter column content set storage external`.execute(db);
  },
};
