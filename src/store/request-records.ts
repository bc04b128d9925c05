import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { isFailureCode, type FailureCode } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Db } from './database.ts';
import { KEY_ENDED_CHANNEL } from './key-transitions.ts';

/** A running replica records its requests within seconds of the key's end; a request that is still open after this time is abandoned. */
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

/** Adds to the count of requests with a key that has ended. Throws `database_unreachable`. */
export async function countRefusedUses(db: Db, ref: KeyRef, uses: number): Promise<void> {
  await asDatabaseError(
    sql`update keys set refused_requests = refused_requests + ${uses}, last_refused_at = now() where ref = ${ref}`.execute(db),
  );
}

/**
 * Suspends a key whose charge cannot be recorded: from now on every replica refuses it and interrupts its running requests. Throws
 * `database_unreachable`.
 */
export async function suspendKey(db: Db, ref: KeyRef): Promise<void> {
  await asDatabaseError(
    sql`
      update keys set suspended_at = coalesce(suspended_at, now()) where ref = ${ref}
      returning pg_notify(${KEY_ENDED_CHANNEL}, ref)`.execute(db),
  );
}

/** Counts the requests of a key that are not recorded yet: its spend is final at 0. Throws `database_unreachable`. */
export async function countOpenRequests(db: Db, ref: KeyRef): Promise<number> {
  const { rows } = await asDatabaseError(
    sql<{ open: number }>`select count(*)::int as open from requests where ref = ${ref} and ended_at is null`.execute(db),
  );
  return rows[0]?.open ?? 0;
}

/**
 * Charges the reservations of abandoned requests: those of lost proxies, and those of keys whose end began more than half a minute ago. Each
 * key has a transaction of its own, so that no lock is held on two. Resolves to the number of charged requests. Throws
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
 * Lists the requests that a replica opened more than half a minute ago and whose ids are not in `known`: the answer to their reservation
 * was lost, so they were never sent. Throws `database_unreachable`.
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
 * Reads why the newest request of a job's keys failed; null where it succeeded or there is none. Requests that their caller cancelled do not
 * count. Where the estimated charge of an answer that the provider cut off used up the budget, the provider's failure is the reason, not
 * the budget. Throws `database_unreachable`.
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

/** How long the record of a request may follow its answer. */
const RECORDING_TIMEOUT_MS = 2_000;
const RECORDING_POLL_INTERVAL_MS = 25;

/**
 * Reads why the model stopped before the end of its turn in the newest request of a job since the event with that source; null where it
 * stopped normally, or there was no request. Throws `database_unreachable`.
 */
export async function lastModelStop(db: Db, jobId: string, sinceSource: string): Promise<string | null> {
  const giveUpAtMs = Date.now() + RECORDING_TIMEOUT_MS;
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
    await sleep(RECORDING_POLL_INTERVAL_MS);
  }
}
