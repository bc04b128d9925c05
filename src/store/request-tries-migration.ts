import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** A request that is sent again: how often, and room in the budget for what the failed tries may be billed. */
export const requestTries: Migration = {
  up: async (db) => {
    await sql`alter table requests add column tries integer not null default 1`.execute(db);
    // The lock of `reserve_request`: what is counted here cannot be reserved elsewhere meanwhile. One that is alone is not let past the
    // budget: that is for its first try.
    await sql`
      create function raise_reservation(key_ref text, job text, request bigint, most numeric, out raised boolean)
      language plpgsql set plan_cache_mode = force_generic_plan set lock_timeout = '3s' as $$
      declare spent numeric; budget numeric; held numeric; usable boolean;
      begin
        perform pg_advisory_xact_lock(hashtextextended(job, 1)), set_config('synchronous_commit', 'off', true);
        select own.budget_usd, own.state = 'live' and own.suspended_at is null and own.expires_at > now(), total.spent, total.held
          into budget, usable, spent, held
          from keys as own cross join lateral (
            select sum(keys.spent_usd) as spent, sum(open.held) as held
            from keys cross join lateral (
              select coalesce(sum(requests.reserved_usd), 0) as held from requests
              where requests.ref = keys.ref and requests.ended_at is null and requests.id <> request
            ) as open
            where keys.job_id = job
          ) as total
          where own.ref = key_ref;
        raised := false;
        if usable is not true or spent + held + most > budget then return; end if;
        update requests set reserved_usd = most where requests.id = request and ended_at is null;
        raised := found;
      end $$`.execute(db);
  },
};
