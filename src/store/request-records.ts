import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { isFailureCode, type FailureCode } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Db } from './database.ts';
import { KEY_ENDED_CHANNEL } from './key-ends.ts';

/** A replica that is up records its requests within moments of the key's end; after this it must be gone. */
const ABANDONED_AFTER_S = 30;

/** Sets the time of a key's first use, once. Throws `database_unreachable`. */
export async function markFirstUse(db: Db, ref: KeyRef): Promise<void> {
  await asDatabaseError(
    db
      .updateTable('keys')
      .set({ first_used_at: sql<Date>`now()` })
      .where('ref', '=', ref)
      .where('first_used_at', 'is', null)
      .execute(),
  );
}

/** Counts requests with a key that has ended. Throws `database_unreachable`. */
export async function countRefusedUses(db: Db, ref: KeyRef, uses: number): Promise<void> {
  await asDatabaseError(
    sql`update keys set refused_requests = refused_requests + ${uses}, last_refused_at = now() where ref = ${ref}`.execute(db),
  );
}

/** The proxy refuses a key from now on and cuts what runs with it, on every replica: a charge of it cannot be recorded. Throws `database_unreachable`. */
export async function suspendKey(db: Db, ref: KeyRef): Promise<void> {
  await asDatabaseError(
    sql`
      update keys set suspended_at = coalesce(suspended_at, now()) where ref = ${ref}
      returning pg_notify(${KEY_ENDED_CHANNEL}, ref)`.execute(db),
  );
}

/** How many requests of a key are still to be recorded: its spend is final at 0. Throws `database_unreachable`. */
export async function countOpenRequests(db: Db, ref: KeyRef): Promise<number> {
  const { rows } = await asDatabaseError(
    sql<{ open: number }>`select count(*)::int as open from requests where ref = ${ref} and ended_at is null`.execute(db),
  );
  return rows[0]?.open ?? 0;
}

/**
 * Charges the reservations of requests that nobody will record any more: those of proxies that are not there, and of a key whose end
 * began half a minute ago. One key at a time, so that nobody waits for two. Resolves to how many were charged. Throws
 * `database_unreachable`.
 */
export async function chargeAbandoned(
  db: Db,
  { ref, replicaLostAfterS }: { ref: KeyRef | null; replicaLostAfterS: number },
): Promise<number> {
  const isAbandoned = sql`
    requests.ended_at is null and (
      keys.ending_at < now() - make_interval(secs => ${ABANDONED_AFTER_S})
      or not exists (
        select from proxies where id = requests.proxy and seen_at > now() - make_interval(secs => ${replicaLostAfterS})
      ) and requests.started_at < now() - make_interval(secs => ${replicaLostAfterS})
    )`;
  const { rows } = await asDatabaseError(
    sql<{ ref: KeyRef }>`
      select distinct ref from requests join keys using (ref)
      where ${isAbandoned} and (${ref}::text is null or ref = ${ref})`.execute(db),
  );
  let charged = 0;
  for (const { ref: abandoned } of rows) {
    const { rows: closed } = await asDatabaseError(
      sql<{ requests: number }>`
        with closed as (
          update requests set usd = reserved_usd, estimated = true, status = 502, code = 'gateway_unreachable', ended_at = now()
          from keys where keys.ref = requests.ref and requests.ref = ${abandoned} and ${isAbandoned}
          returning requests.usd
        ), total as (
          select sum(usd) as usd, count(*)::int as requests from closed
        )
        update keys set spent_usd = spent_usd + total.usd, estimated_usd = estimated_usd + total.usd, requests = keys.requests + total.requests
        from total where keys.ref = ${abandoned} and total.requests > 0
        returning total.requests`.execute(db),
    );
    charged += closed[0]?.requests ?? 0;
  }
  return charged;
}

/**
 * The requests that a replica opened half a minute ago and does not know of: the answer to their reservation was lost, so they were never
 * sent. `known`: ids. Throws `database_unreachable`.
 */
export async function unknownRequests(db: Db, proxy: string, known: readonly string[]): Promise<{ id: string; ref: KeyRef }[]> {
  const { rows } = await asDatabaseError(
    sql<{ id: string; ref: KeyRef }>`
      select id, ref from requests
      where ended_at is null and proxy = ${proxy} and started_at < now() - make_interval(secs => ${ABANDONED_AFTER_S})
        and not id = any(${[...known]}::bigint[])`.execute(db),
  );
  return rows;
}

/**
 * Why the newest request of a job's keys failed; null where it succeeded or there is none. Requests that the
 * caller gave up say nothing either way. Where the estimate of an answer that the provider broke off took the rest of the budget, the
 * provider's failure is why, and not the budget. Throws `database_unreachable`.
 */
export async function lastFailure(db: Db, jobId: string): Promise<FailureCode | null> {
  const { rows } = await asDatabaseError(
    sql<{ code: string | null }>`
      (select case when code <> 'budget_exhausted' then code else coalesce(
                (select before.code from (
                   select earlier.code, earlier.estimated from requests as earlier
                   where earlier.ref = requests.ref and earlier.id < requests.id and earlier.ended_at is not null
                     and earlier.code is distinct from 'budget_exhausted'
                   order by earlier.id desc limit 1
                 ) as before where before.estimated and before.code in ('llm_failed', 'llm_timeout')), code) end as code,
              ended_at
       from requests
       where ref in (select ref from keys where job_id = ${jobId}) and ended_at is not null and code is distinct from 'cancelled'
       order by ended_at desc, id desc limit 1)
      union all
      (select 'key_refused', last_refused_at from keys where job_id = ${jobId} and last_refused_at is not null
       order by last_refused_at desc limit 1)
      order by ended_at desc limit 1`.execute(db),
  );
  const code = rows[0]?.code;
  return isFailureCode(code) ? code : null;
}

/** How long the record of a request that its caller has the answer of may take. */
const RECORDING_MS = 2_000;
const RECORDING_POLL_MS = 25;

/**
 * Why the model stopped in the newest request of a job since the event of that source, where that was not the end of its turn; null: as it
 * should, or there was none. Throws `database_unreachable`.
 */
export async function lastModelStop(db: Db, jobId: string, sinceSource: string): Promise<string | null> {
  const giveUpAtMs = Date.now() + RECORDING_MS;
  for (;;) {
    const { rows } = await asDatabaseError(
      sql<{ stop: string | null; open: boolean }>`
        select stop, ended_at is null as open from requests
        where ref in (select ref from keys where job_id = ${jobId}) and code is distinct from 'cancelled'
          and started_at >= (select at from events where job_id = ${jobId} and source = ${sinceSource})
          and (ended_at is null or output_tokens > 0 or stop is not null or code is not null)
        order by ended_at is null desc, ended_at desc, id desc limit 1`.execute(db),
    );
    const newest = rows[0];
    if (newest?.open !== true || Date.now() > giveUpAtMs) return newest?.stop ?? null;
    await sleep(RECORDING_POLL_MS);
  }
}
