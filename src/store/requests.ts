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
  /** USD. */
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
      select ref, job_id, models, budget_usd, spent_usd, first_used_at is not null as used, state = 'live' and expires_at > now() as usable
      from keys where secret_hash = $1
    ), opened as (
      insert into requests (ref, protocol) select ref, $2 from key where $2::text is not null returning id
    )
    select key.*, opened.id, set_config('synchronous_commit', 'off', true) from key left join opened on true`,
};

// Counts once, however often it is repeated: only an open row is closed.
const CLOSE = {
  name: 'valetkey-request-close',
  text: `
    with closed as (
      update requests set status = $2, code = $3, input_tokens = $4, output_tokens = $5, usd = $6, model = $8, ended_at = now()
      where id = $1 and ended_at is null returning ref
    )
    update keys
    set spent_usd = spent_usd + $6, input_tokens = keys.input_tokens + $4, output_tokens = keys.output_tokens + $5, requests = requests + $7
    from closed where keys.ref = closed.ref returning spent_usd, set_config('synchronous_commit', 'off', true)`,
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
 * Ends the row of a request and adds its cost to its key, in one transaction. Idempotent on id, so it may be repeated.
 * Returns what the key has spent then, USD; null where the row had been ended before. Throws `database_unreachable`.
 */
export async function closeRequest(pool: Pool, id: string, end: RequestEnd): Promise<number | null> {
  const values = [
    id,
    end.status,
    end.code,
    end.inputTokens,
    end.outputTokens,
    roundUsd(end.usd).toFixed(12),
    end.forwarded ? 1 : 0,
    end.model,
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
    where (ref = any($1) and (state <> 'live' or expires_at <= now())) or (state <> 'live' and disabled_at > now() - interval '1 minute')`;
  const rows = await run<{ ref: string }>(pool, { text }, [refs]);
  return rows.map(({ ref }) => ref);
}

/**
 * How many requests of a key are still to be recorded: its spend is final at 0. One whose proxy died is given up soon
 * after the key has been disabled. Throws `database_unreachable`.
 */
export async function countOpenRequests(db: Db, ref: KeyRef): Promise<number> {
  const { rows } = await asDatabaseError(
    sql<{ open: number }>`
      select count(*)::int as open from requests join keys using (ref)
      where ref = ${ref} and ended_at is null and (disabled_at is null or disabled_at > now() - ${ABANDONED_AFTER}::interval)`.execute(db),
  );
  return rows[0]?.open ?? 0;
}

/**
 * Why the newest request of a key failed; null where it succeeded or there is none. Requests that the
 * caller gave up say nothing either way. Throws `database_unreachable`.
 */
export async function lastFailure(db: Db, ref: KeyRef): Promise<FailureCode | null> {
  const row = await asDatabaseError(
    db
      .selectFrom('requests')
      .select('code')
      .where('ref', '=', ref)
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
