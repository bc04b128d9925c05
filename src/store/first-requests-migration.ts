import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Requests that come together and find no rate bucket yet: the insert of one makes that of the others find nothing to do. */
export const firstRequests: Migration = {
  up: async (db) => {
    await sql`
      do $$
      declare before text := pg_get_functiondef('reserve_request'::regproc); after text;
      begin
        after := replace(before, 'if taken + made < 2 then', 'if taken + made < 2 then
            select max(extract(epoch from full_at - now()) + case scope when buckets[1] then each_s[1] else each_s[2] end - 60)
              into wait_s from rate_buckets where scope = any(buckets);
            if wait_s <= 0 then
              -- Both have room: others have made them since. What this request took already counts twice, never not at all.
              update rate_buckets
                set full_at = greatest(full_at, now()) + make_interval(secs => case scope when buckets[1] then each_s[1] else each_s[2] end)
                where scope = any(buckets);
              made := 2; wait_s := null;
            end if;
          end if;
          if taken + made < 2 then');
        if after = before then raise exception 'reserve_request is not as expected'; end if;
        execute after;
      end $$`.execute(db);
  },
};
