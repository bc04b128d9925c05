import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * Spend that is counted whatever happens: each request's worst case is stored before it is sent, of a budget that is checked under a
 * lock; a proxy that is gone is noticed by its heartbeat; rates hold over all replicas.
 */
export const reservations: Migration = {
  up: async (db) => {
    await sql`
      alter table keys
        alter column input_tokens type bigint, alter column output_tokens type bigint, alter column requests type bigint,
        add column estimated_usd numeric(24, 12) not null default 0,
        add column suspended_at timestamptz,
        add column refused_requests bigint not null default 0,
        add column last_refused_at timestamptz`.execute(db);
    await sql`
      alter table settlements
        alter column input_tokens type bigint, alter column output_tokens type bigint, alter column requests type bigint`.execute(db);
    await sql`
      alter table requests
        alter column input_tokens type bigint, alter column output_tokens type bigint,
        add column reserved_usd numeric(24, 12) not null default 0,
        add column estimated boolean not null default false,
        add column implausible boolean not null default false,
        add column proxy text`.execute(db);
    await sql`create index requests_open on requests (ref) where ended_at is null`.execute(db);
    await sql`create table proxies (id text primary key, seen_at timestamptz not null default now())`.execute(db);
    await sql`create table rate_buckets (scope text primary key, full_at timestamptz not null default now())`.execute(db);
    await sql`
      alter table upstream_credentials
        add column tenant text not null default '',
        drop constraint upstream_credentials_pkey,
        add primary key (dialect, tenant, version)`.execute(db);
    await sql`
      create table priced_models (
        dialect text not null,
        name text not null,
        prices json not null,
        primary key (dialect, name)
      )`.execute(db);
    // Each request would have its key's row locked and looked up once more; keys are never deleted.
    await sql`alter table requests drop constraint requests_ref_fkey`.execute(db);
    // One round trip for all of it. The lock is taken before the statement that counts begins, which a single statement could not do.
    // Nobody waits for the disk: a crash of Postgres itself can lose the last moments of jobs that run. Plans are made once: a new one for
    // each call takes longer than what it plans.
    await sql`
      create function reserve_request(hash bytea, key_ref text, job text, request bigint, of_protocol text, of_proxy text, most numeric,
                                      buckets text[], each_s float8[], token_buckets text[],
                                      out id bigint, out verdict text, out wait_s float8,
                                      out models text[], out used boolean, out lease_s float8)
      language plpgsql set plan_cache_mode = force_generic_plan set lock_timeout = '3s' as $$
      declare spent numeric; budget numeric; held numeric; running integer; usable boolean; taken integer; made integer;
      begin
        perform pg_advisory_xact_lock(hashtextextended(job, 1)), set_config('synchronous_commit', 'off', true);
        select own.models, own.first_used_at is not null, extract(epoch from own.expires_at - now()), own.budget_usd,
               own.gateway = 'builtin' and own.state = 'live' and own.suspended_at is null and own.expires_at > now()
                 and own.job_id = job and (hash is null or own.secret_hash = hash),
               total.spent, total.held, total.running
          into models, used, lease_s, budget, usable, spent, held, running
          from keys as own cross join lateral (
            select sum(keys.spent_usd) as spent, sum(open.held) as held, sum(open.running) as running
            from keys cross join lateral (
              select coalesce(sum(requests.reserved_usd), 0) as held, count(*) as running from requests
              where requests.ref = keys.ref and requests.ended_at is null and requests.id is distinct from request
            ) as open
            where keys.job_id = job
          ) as total
          where own.ref = key_ref;
        if usable is not true then verdict := 'ended'; return; end if;
        if spent >= budget then verdict := 'spent'; return; end if;
        if running > 0 and spent + held + most > budget then
          -- Two that wait for each other's first reservation would wait without end.
          delete from requests where requests.id = request and ended_at is null;
          verdict := 'wait'; return;
        end if;
        if request is not null then
          update requests set reserved_usd = most where requests.id = request and ended_at is null;
          id := request; verdict := 'run'; return;
        end if;
        -- A bucket holds a minute's worth, and is empty when it would be full again in a minute.
        if token_buckets <> '{}' then
          select coalesce(max(extract(epoch from full_at - now()) - 60), 0) into wait_s from rate_buckets where scope = any(token_buckets);
          if wait_s > 0 then verdict := 'limited'; return; end if;
        end if;
        update rate_buckets
          set full_at = greatest(full_at, now()) + make_interval(secs => case scope when buckets[1] then each_s[1] else each_s[2] end)
          where scope = any(buckets)
            and greatest(full_at, now()) + make_interval(secs => case scope when buckets[1] then each_s[1] else each_s[2] end)
              <= now() + interval '60 seconds'
            -- One that is empty takes nothing off the other.
            and not exists (
              select from rate_buckets as other where other.scope = any(buckets)
                and greatest(other.full_at, now()) + make_interval(secs => case other.scope when buckets[1] then each_s[1] else each_s[2] end)
                  > now() + interval '60 seconds');
        get diagnostics taken = row_count;
        if taken < 2 then
          insert into rate_buckets select buckets[i], now() + make_interval(secs => each_s[i]) from generate_subscripts(buckets, 1) as i
            on conflict do nothing;
          get diagnostics made = row_count;
          if taken + made < 2 then
            select greatest(max(extract(epoch from full_at - now()) + case scope when buckets[1] then each_s[1] else each_s[2] end - 60), 0.001)
              into wait_s from rate_buckets where scope = any(buckets);
            verdict := 'limited'; return;
          end if;
        end if;
        insert into requests (ref, protocol, proxy, reserved_usd) values (key_ref, of_protocol, of_proxy, most) returning requests.id into id;
        verdict := 'run';
      end $$`.execute(db);
  },
};
