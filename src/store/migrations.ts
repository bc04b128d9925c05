import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

import { byReference } from './by-reference-migration.ts';
import { checkpointTables } from './checkpoints-migration.ts';
import { credentials } from './credentials-migration.ts';
import { firstRequests } from './first-requests-migration.ts';
import { gateways } from './gateways-migration.ts';
import { workersAndSandboxes } from './hosts-migration.ts';
import { keyStates } from './key-states-migration.ts';
import { logins } from './logins-migration.ts';
import { modelStops } from './model-stop-migration.ts';
import { questionEvents } from './questions-migration.ts';
import { requestTries } from './request-tries-migration.ts';
import { reservations } from './reservations-migration.ts';
import { sandboxProviders } from './sandbox-providers-migration.ts';
import { workerDrain } from './worker-drain-migration.ts';

const initial: Migration = {
  up: async (db) => {
    await sql`
      create table keys (
        ref text primary key,
        job_id text not null,
        tenant text not null,
        generation integer not null,
        gateway text not null,
        state text not null check (state in ('minting', 'live', 'disabled', 'dead', 'stuck')),
        secret_hash bytea unique,
        models text[] not null,
        budget_usd numeric(24, 12) not null,
        spent_usd numeric(24, 12) not null default 0,
        input_tokens integer not null default 0,
        output_tokens integer not null default 0,
        requests integer not null default 0,
        expires_at timestamptz not null,
        intended_at timestamptz not null default now(),
        minted_at timestamptz,
        bound_at timestamptz,
        first_used_at timestamptz,
        disabled_at timestamptz,
        dead_at timestamptz
      )`.execute(db);
    await sql`create index keys_job on keys (job_id)`.execute(db);
    await sql`create index keys_open on keys (tenant) where state <> 'dead'`.execute(db);
    await sql`
      create table requests (
        id bigint generated always as identity primary key,
        ref text not null references keys,
        protocol text not null,
        model text,
        status integer,
        code text,
        input_tokens integer not null default 0,
        output_tokens integer not null default 0,
        usd numeric(24, 12) not null default 0,
        started_at timestamptz not null default now(),
        ended_at timestamptz
      )`.execute(db);
    await sql`create index requests_ref on requests (ref, id)`.execute(db);
    await sql`
      create table events (
        job_id text not null,
        seq integer not null,
        at timestamptz not null default now(),
        type text not null,
        body jsonb not null,
        source text not null,
        primary key (job_id, seq),
        unique (job_id, source)
      )`.execute(db);
    // One round trip for the whole of it. The lock makes seq gapless, whoever writes; it is taken before the statement that counts
    // begins, which a single statement could not do. Nobody waits for the disk: a crash of Postgres itself can lose the last
    // moments' events of jobs that run; the commit of a settlement, which waits, brings all before it to the disk.
    await sql`
      create function append_events(job text, fresh jsonb) returns void language plpgsql as $$
      begin
        perform set_config('synchronous_commit', 'off', true);
        perform pg_advisory_xact_lock(hashtextextended('valetkey:' || job, 0));
        insert into events (job_id, seq, type, body, source)
          select job, coalesce((select max(seq) from events where job_id = job), 0) + row_number() over (order by ord),
                 event -> 'body' ->> 'type', event -> 'body', event ->> 'source'
          from jsonb_array_elements(fresh) with ordinality as added (event, ord)
          where not exists (select 1 from events where job_id = job and source = event ->> 'source');
        perform pg_notify('valetkey_events', job);
      end $$`.execute(db);
    await sql`
      create table settlements (
        job_id text primary key,
        tenant text not null,
        outcome text not null,
        usd numeric(24, 12) not null,
        input_tokens integer not null,
        output_tokens integer not null,
        requests integer not null,
        result json not null,
        settled_at timestamptz not null default now()
      )`.execute(db);
    await sql`create index settlements_tenant on settlements (tenant, settled_at)`.execute(db);
    await sql`
      create table artifacts (
        job_id text not null,
        name text not null,
        bytes integer not null,
        sha256 text not null,
        content bytea not null,
        primary key (job_id, name)
      )`.execute(db);
  },
};

/** One entry per job, by when it began: what retention (retention.ts) looks through. */
const firstEvents: Migration = {
  up: async (db) => {
    await sql`create index events_first on events (at) where seq = 1`.execute(db);
  },
};

/** The end of a key in steps, what looks for orphaned keys, and what keeps a tenant from new ones. */
const endOfKeys: Migration = {
  up: async (db) => {
    await sql`
      alter table keys
        add column owner text not null default '',
        add column root_key_id text not null default '',
        add column dies_at timestamptz,
        add column ending_at timestamptz,
        add column cause text,
        add column settled_at timestamptz,
        add column deleted_at timestamptz,
        add column ended_at timestamptz,
        add column attempts integer not null default 0,
        add column retry_at timestamptz,
        add column last_error text,
        add column checked_at timestamptz,
        add column orphan_since timestamptz`.execute(db);
    await sql`
      update keys set dies_at = expires_at, ending_at = disabled_at, settled_at = coalesce(dead_at, disabled_at),
                      ended_at = case when state = 'dead' then coalesce(dead_at, disabled_at, now()) end`.execute(db);
    await sql`alter table keys alter column dies_at set not null`.execute(db);
    await sql`drop index keys_open`.execute(db);
    await sql`create index keys_open on keys (owner, checked_at nulls first) where ended_at is null`.execute(db);
    await sql`create index keys_tenant on keys (tenant) where ended_at is null`.execute(db);
    await sql`
      create table sightings (
        kind text not null,
        id text not null,
        first_at timestamptz not null default now(),
        last_at timestamptz not null default now(),
        primary key (kind, id)
      )`.execute(db);
    await sql`create table blocked_tenants (tenant text primary key, blocked_at timestamptz not null default now())`.execute(db);
    await sql`
      create table hosts (
        owner text not null,
        task_queue text not null,
        seen_at timestamptz not null default now(),
        primary key (owner, task_queue)
      )`.execute(db);
  },
};

const upstreamCredentials: Migration = {
  up: async (db) => {
    await sql`
      create table upstream_credentials (
        dialect text not null check (dialect in ('anthropic', 'openai')),
        version integer not null,
        sealed text not null,
        created_at timestamptz not null default now(),
        primary key (dialect, version)
      )`.execute(db);
  },
};

/** In order of their names; a migration that has landed is never changed. */
export const migrations: Record<string, Migration> = {
  '0001_initial': initial,
  '0002_first_events': firstEvents,
  '0003_end_of_keys': endOfKeys,
  '0004_upstream_credentials': upstreamCredentials,
  '0005_reservations': reservations,
  '0006_by_reference': byReference,
  '0007_workers_and_sandboxes': workersAndSandboxes,
  '0008_request_tries': requestTries,
  '0010_model_stops': modelStops,
  '0011_key_states': keyStates,
  '0012_question_events': questionEvents,
  '0013_credentials': credentials,
  '0014_gateways': gateways,
  '0015_logins': logins,
  '0016_first_requests': firstRequests,
  '0017_checkpoints': checkpointTables,
  '0018_sandbox_providers': sandboxProviders,
  '0022_worker_drain': workerDrain,
};
