import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The states and times of a key in the words that the rest of the system uses. */
export const keyStates: Migration = {
  up: async (db) => {
    await sql`alter table keys drop constraint keys_state_check`.execute(db);
    await sql`update keys set state = case state when 'live' then 'active' else 'revoked' end where state in ('live', 'dead')`.execute(db);
    await sql`alter table keys add constraint keys_state_check check (state in ('minting', 'active', 'disabled', 'revoked', 'stuck'))`.execute(
      db,
    );
    await sql`alter table keys rename column dead_at to revoked_at`.execute(db);
    await sql`alter table keys rename column dies_at to hard_expires_at`.execute(db);
    await sql`update events set type = 'key.revoked', body = jsonb_set(body, '{type}', '"key.revoked"') where type = 'key.dead'`.execute(
      db,
    );
    // The two functions differ in this one word.
    await sql`
      do $$
      declare name text;
      begin
        foreach name in array array['reserve_request', 'raise_reservation'] loop
          execute replace(pg_get_functiondef(name::regproc), '''live''', '''active''');
        end loop;
      end $$`.execute(db);
  },
};
