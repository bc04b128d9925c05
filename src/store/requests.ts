import { sql } from 'kysely';

import { isFailureCode, type FailureCode } from '../job/errors.ts';
import { roundUsd } from '../job/money.ts';
import type { KeyRef } from '../job/ref.ts';
import { asDatabaseError, type Database, type Db } from './database.ts';

type Pool = Database['pool'];

/** A replica that is up cuts and records its requests within moments of the key's end; after this it must be gone. */
const ABANDONED_AFTER = '30 seconds';
/** A server that stopped answering without closing its connections must not hold a request for ever. */
const QUERY_TIMEOUT_MS = 5_000;

/** A key as a request finds it. */
export interface KeyAccess {
  ref: KeyRef;
  jobId: string;
  /** Live and not expired, by the clock of Postgres. */
  usable: boolean;
  models: string[];
  /** USD, of the job: its keys share it. */
  budgetUsd: number;
  spentUsd: number;
  used: boolean;
  /** The open row in `requests`; null where none was asked for. */
  requestId: string | null;
}

// Named statements: planned once a connection; the look-up and the open row are one round trip. Both commit without waiting for
// the disk: a crash of Postgres itself can lose the last moments' records (0.6 s at its defaults) of jobs that run. Never of a
// settled one: the commit of its settlement waits for the disk, and with it for all that came before.
const OPEN = {
  name: 'valetkey-request-open',
  text: `
    with key as (
      select ref, job_id, models, budget_usd, first_used_at is not null as used,
             (select sum(spent_usd) from keys as own where own.job_id = keys.job_id) as spent_usd,
             gateway = 'builtin' and state = 'live' and expires_at > now() as usable
      from keys where secret_hash = $1
    ), opened as (
      insert into requests (ref, protocol) select ref, $2 from key where $2::text is not null returning id
    )
    select key.*, opened.id, set_config('synchronous_commit', 'off', true) from key left join opened on true`,
};

// Counts once, however often it is repeated: only open rows are closed.
const CLOSE = {
  name: 'valetkey-requests-close',
  text: `
    with closed as (
      update requests set status = fresh.status, code = fresh.code, input_tokens = fresh.input, output_tokens = fresh.output,
                          usd = fresh.usd, model = fresh.model, ended_at = now()
      from unnest($2::bigint[], $3::integer[], $4::text[], $5::integer[], $6::integer[], $7::numeric[], $8::text[], $9::integer[])
        as fresh (id, status, code, input, output, usd, model, forwarded)
      where requests.id = fresh.id and requests.ended_at is null
      returning fresh.input, fresh.output, fresh.usd, fresh.forwarded
    ), total as (
      select sum(input) as input, sum(output) as output, sum(usd) as usd, sum(forwarded) as requests from closed
    )
    update keys
    set spent_usd = spent_usd + total.usd, input_tokens = keys.input_tokens + total.input,
        output_tokens = keys.output_tokens + total.output, requests = keys.requests + total.requests
    from total where ref = $1 and total.usd is not null
    returning spent_usd + coalesce((select sum(spent_usd) from keys as others where others.job_id = keys.job_id and ref <> $1), 0) as spent_usd,
              set_config('synchronous_commit', 'off', true)`,
};

/**
 * Looks a key up by the hash of its secret; null for an unknown one. With a protocol it also opens a row for the request,
 * so that settling can see it run. Throws `database_unreachable`.
 */
export async function openRequest(pool: Pool, secretHash: Buffer, protocol: string | null): Promise<KeyAccess | null> {
  const [row] = await run<OpenRow>(pool, OPEN, [secretHash, protocol]);
  if (row === undefined) return null;
  const { ref, job_id: jobId, usable, models, used, id: requestId } = row;
  return { ref, jobId, usable, models, used, requestId, budgetUsd: Number(row.budget_usd), spentUsd: Number(row.spent_usd) };
}

interface OpenRow {
  ref: KeyRef;
  job_id: string;
  models: string[];
  budget_usd: string;
  spent_usd: string;
  used: boolean;
  usable: boolean;
  id: string | null;
}

/** How a request ended. */
export interface RequestEnd {
  id: string;
  /** Null where the request named none. */
  model: string | null;
  /** HTTP status that the caller got; 499 where it left before there was one. */
  status: number;
  code: FailureCode | null;
  inputTokens: number;
  outputTokens: number;
  usd: number;
  /** Whether it was sent to the provider: a refused request does not count as one. */
  forwarded: boolean;
}

/**
 * Ends rows of one key and adds their cost to it, in one transaction. Idempotent on id, so it may be repeated. Returns what
 * its job has spent then, USD; null where all rows had been ended before. Throws `database_unreachable`.
 */
export async function closeRequests(pool: Pool, ref: KeyRef, ends: readonly RequestEnd[]): Promise<number | null> {
  const values = [
    ref,
    ends.map(({ id }) => id),
    ends.map(({ status }) => status),
    ends.map(({ code }) => code),
    ends.map(({ inputTokens }) => inputTokens),
    ends.map(({ outputTokens }) => outputTokens),
    ends.map(({ usd }) => roundUsd(usd).toFixed(12)),
    ends.map(({ model }) => model),
    ends.map(({ forwarded }) => (forwarded ? 1 : 0)),
  ];
  const [row] = await run<{ spent_usd: string }>(pool, CLOSE, values);
  return row === undefined ? null : Number(row.spent_usd);
}

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

/** Which of these keys have ended or expired, and all that ended in the last minute. Throws `database_unreachable`. */
export async function endedKeys(pool: Pool, refs: readonly string[]): Promise<string[]> {
  const text = `
    select ref from keys
    where (ref = any($1) and (state <> 'live' or expires_at <= now())) or (state <> 'live' and ending_at > now() - interval '1 minute')`;
  const rows = await run<{ ref: string }>(pool, { text }, [refs]);
  return rows.map(({ ref }) => ref);
}

/**
 * How many requests of a key are still to be recorded: its spend is final at 0. One whose proxy died is given up soon
 * after the end of the key has begun. Throws `database_unreachable`.
 */
export async function countOpenRequests(db: Db, ref: KeyRef): Promise<number> {
  const { rows } = await asDatabaseError(
    sql<{ open: number }>`
      select count(*)::int as open from requests join keys using (ref)
      where ref = ${ref} and requests.ended_at is null and (ending_at is null or ending_at > now() - ${ABANDONED_AFTER}::interval)`.execute(
      db,
    ),
  );
  return rows[0]?.open ?? 0;
}

/**
 * Why the newest request of a job's keys failed; null where it succeeded or there is none. Requests that the
 * caller gave up say nothing either way. Throws `database_unreachable`.
 */
export async function lastFailure(db: Db, jobId: string): Promise<FailureCode | null> {
  const row = await asDatabaseError(
    db
      .selectFrom('requests')
      .select('code')
      .where('ref', 'in', (keys) => keys.selectFrom('keys').select('ref').where('job_id', '=', jobId))
      .where('ended_at', 'is not', null)
      .where((where) => where.or([where('code', 'is', null), where('code', '<>', 'cancelled')]))
      .orderBy('ended_at', 'desc')
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst(),
  );
  return isFailureCode(row?.code) ? row.code : null;
}

async function run<Row extends object>(pool: Pool, statement: { name?: string; text: string }, values: unknown[]): Promise<Row[]> {
  const query = { ...statement, values, query_timeout: QUERY_TIMEOUT_MS };
  const { rows } = await asDatabaseError(pool.query<Row>(query));
  return rows;
}
