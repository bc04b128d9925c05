import type { JobCredential } from '../contract/credential.ts';
import type { FailureCode } from '../contract/errors.ts';
import { roundUsd } from '../contract/money.ts';
import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Database } from './database.ts';

type Pool = Database['pool'];

/** Limits the wait of a request for a server that stopped answering without closing its connections. */
const QUERY_TIMEOUT_MS = 5_000;

/** The result of a key's look-up. */
export interface KeyAccess {
  ref: KeyRef;
  jobId: string;
  tenant: string;
  /** Active and within its lease, by the clock of Postgres. */
  usable: boolean;
  models: string[];
  /** The upstream credential that the key stands for. */
  credential: JobCredential;
  /** The key that a gateway minted for it, sealed for the proxies; null for the built-in gateway. */
  upstreamSealed: string | null;
  used: boolean;
  /** ms until its lease ends; negative once it has ended. */
  leaseMs: number;
  /** The result of the reservation that was made with the look-up; null where none was made. */
  reserved: ReservationResult | null;
  /** The reserved USD. */
  reservedUsd: number;
}

/**
 * Whether a request may be sent. `run`: its row is open, and its worst case is reserved. `wait`: the budget does not suffice for it in
 * addition to the job's requests in flight. `spent`: the budget is spent. `limited`: a rate limit is exceeded for another `retryAfterMs`.
 * `ended`: the key has ended.
 */
export type ReservationResult =
  | { action: 'run'; id: string }
  | { action: 'wait' }
  | { action: 'spent' }
  | { action: 'ended' }
  | { action: 'limited'; retryAfterMs: number };

/** Rate limits over all replicas, as the ms that one request or token takes; null where there is no limit. */
export interface SharedRates {
  tenantRequestMs: number;
  upstreamRequestMs: number;
  tenantTokenMs: number | null;
  upstreamTokenMs: number | null;
}

/** The parameters of a reservation. */
export interface ReservationRequest {
  protocol: string;
  /** Names the provider, or the gateway, in the rate limits. */
  upstream: string;
  /** The id of the replica. */
  proxy: string;
  /** The highest cost of the request, USD. */
  usd: number;
  rates: SharedRates;
}

// Named statements are planned once per connection.
const LOOK_UP = {
  name: 'valetkey-key-look-up',
  text: `
    select ref, job_id, tenant, models, credential, upstream_sealed, first_used_at is not null as used,
           state = 'active' and suspended_at is null and expires_at > now() as usable,
           extract(epoch from expires_at - now())::float8 as lease_s
    from keys where secret_hash = $1`,
};
const RESERVE = { name: 'valetkey-request-reserve', text: 'select * from reserve_request($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)' };
const RAISE = { name: 'valetkey-request-raise', text: 'select raise_reservation($1, $2, $3, $4) as raised' };

// Idempotent: only open rows are closed and counted. The commit does not wait for the disk: that of a settlement does, and it includes
// everything before.
const CLOSE = {
  name: 'valetkey-requests-close',
  text: `
    with closed as (
      update requests set status = fresh.status, code = fresh.code, input_tokens = fresh.input, output_tokens = fresh.output,
                          usd = fresh.usd, model = fresh.model, estimated = fresh.estimated, implausible = fresh.implausible,
                          stop = fresh.stop, tries = fresh.tries, ended_at = now()
      from unnest($2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::numeric[], $8::text[], $9::integer[],
                  $10::boolean[], $11::boolean[], $12::text[], $13::integer[])
        as fresh (id, status, code, input, output, usd, model, forwarded, estimated, implausible, stop, tries)
      where requests.id = fresh.id and requests.ended_at is null
      returning fresh.*
    ), total as (
      select sum(input) as input, sum(output) as output, sum(usd) as usd, sum(forwarded) as requests,
             coalesce(sum(usd) filter (where estimated), 0) as estimated
      from closed
    )
    update keys
    set spent_usd = spent_usd + total.usd, estimated_usd = estimated_usd + total.estimated,
        input_tokens = keys.input_tokens + total.input, output_tokens = keys.output_tokens + total.output,
        requests = keys.requests + total.requests
    from total where ref = $1 and total.usd is not null
    returning set_config('synchronous_commit', 'off', true)`,
};

const REFUSE = {
  name: 'valetkey-request-refuse',
  text: `
    insert into requests (ref, protocol, proxy, model, status, code, ended_at) values ($1, $2, $3, $4, $5, $6, now())
    returning set_config('synchronous_commit', 'off', true)`,
};

const CONSUME_TOKENS = {
  name: 'valetkey-tokens-consume',
  text: `
    insert into rate_buckets as bucket (scope, full_at)
    select scope, now() + make_interval(secs => taken_s) from unnest($1::text[], $2::float8[]) as taken (scope, taken_s)
    on conflict (scope) do update set full_at = greatest(bucket.full_at, now()) + (excluded.full_at - now())`,
};

/**
 * Looks up a key by the hash of its secret; null for an unknown one. It costs one indexed read and writes nothing. Throws
 * `database_unreachable`.
 */
export async function findKey(pool: Pool, secretHash: Buffer): Promise<KeyAccess | null> {
  const [row] = await run<KeyRow>(pool, LOOK_UP, [secretHash]);
  if (row === undefined) return null;
  const { ref, job_id: jobId, tenant, usable, models, credential, upstream_sealed: upstreamSealed, used, lease_s: leaseS } = row;
  return { ref, jobId, tenant, usable, models, credential, upstreamSealed, used, leaseMs: leaseS * 1000, reserved: null, reservedUsd: 0 };
}

/**
 * Looks up a key and reserves a request of it in one round trip. Resolves to null where the hash is not that of this key or the key has
 * ended: the caller then looks it up with `findKey`. Throws `database_unreachable`.
 */
export async function openRequest(
  pool: Pool,
  secretHash: Buffer,
  key: Pick<KeyAccess, 'ref' | 'jobId' | 'tenant' | 'credential' | 'upstreamSealed'>,
  reservation: ReservationRequest,
): Promise<KeyAccess | null> {
  const row = await reserve(pool, secretHash, key, reservation, null);
  const { models, used, lease_s: leaseS, verdict } = row;
  if (verdict === 'ended' || models === null || used === null || leaseS === null) return null;
  return { ...key, usable: true, models, used, leaseMs: leaseS * 1000, reserved: toReserved(row), reservedUsd: reservation.usd };
}

/**
 * Reserves a request's worst case from its job's budget, exactly over all replicas, and opens its row. With `raise`, the id of an open row,
 * the reservation of that row is replaced; where the request has to wait, the row is deleted. Throws `database_unreachable`.
 */
export async function reserveRequest(
  pool: Pool,
  key: Pick<KeyAccess, 'ref' | 'jobId' | 'tenant'>,
  reservation: ReservationRequest,
  raise: string | null,
): Promise<ReservationResult> {
  return toReserved(await reserve(pool, null, key, reservation, raise));
}

/**
 * Raises the reservation of an open request to `usd` before another try, since its failed tries may be billed. Resolves to false, and changes
 * nothing, where the job's budget is too small, or the key or the request has ended. Throws `database_unreachable`.
 */
export async function raiseReservation(
  pool: Pool,
  { ref, jobId, id, usd }: { ref: KeyRef; jobId: string; id: string; usd: number },
): Promise<boolean> {
  const [row] = await run<{ raised: boolean }>(pool, RAISE, [ref, jobId, id, money(usd)]);
  return row?.raised === true;
}

async function reserve(
  pool: Pool,
  secretHash: Buffer | null,
  { ref, jobId, tenant }: Pick<KeyAccess, 'ref' | 'jobId' | 'tenant'>,
  { protocol, upstream, proxy, usd, rates }: ReservationRequest,
  raise: string | null,
): Promise<ReservedRow> {
  const [row] = await run<ReservedRow>(pool, RESERVE, [
    secretHash,
    ref,
    jobId,
    raise,
    protocol,
    proxy,
    money(usd),
    [`tenant ${tenant} ${upstream}`, `upstream ${upstream}`],
    [rates.tenantRequestMs / 1000, rates.upstreamRequestMs / 1000],
    hasTokenLimits(rates) ? tokenScopes(tenant, upstream) : [],
  ]);
  if (row === undefined) throw new Error('The reservation returned no row.');
  return row;
}

interface ReservedRow {
  id: string | null;
  verdict: string | null;
  wait_s: number | null;
  models: string[] | null;
  used: boolean | null;
  lease_s: number | null;
}

interface KeyRow {
  ref: KeyRef;
  job_id: string;
  tenant: string;
  models: string[];
  credential: JobCredential;
  upstream_sealed: string | null;
  used: boolean;
  usable: boolean;
  lease_s: number;
}

function toReserved({ id, verdict, wait_s: waitS }: ReservedRow): ReservationResult {
  if (verdict === 'run' && id !== null) return { action: 'run', id };
  if (verdict === 'limited') return { action: 'limited', retryAfterMs: (waitS ?? 0) * 1000 };
  return { action: verdict === 'wait' || verdict === 'spent' ? verdict : 'ended' };
}

/** How a request ended. */
export interface RequestEnd {
  id: string;
  /** Null where the request named none. */
  model: string | null;
  /** The HTTP status that the caller received; 499 where it disconnected before. */
  status: number;
  code: FailureCode | null;
  inputTokens: number;
  outputTokens: number;
  usd: number;
  /** `usd` is the reservation, not the provider's figure. */
  estimated: boolean;
  /** The provider stated an impossible usage. */
  implausible: boolean;
  /** Why the model stopped before the end of its turn; null where it stopped normally. */
  stop: string | null;
  /** How often the request was sent to the provider. */
  tries: number;
  /** The request was sent to the provider; others are not counted in the key's requests. */
  forwarded: boolean;
}

/**
 * Ends rows of one key and adds their cost to the key, in one transaction. Idempotent on the ids; the caller retries. Throws
 * `database_unreachable`.
 */
export async function closeRequests(pool: Pool, ref: KeyRef, ends: readonly RequestEnd[]): Promise<void> {
  await run(pool, CLOSE, [
    ref,
    ends.map(({ id }) => id),
    ends.map(({ status }) => status),
    ends.map(({ code }) => code),
    ends.map(({ inputTokens }) => inputTokens),
    ends.map(({ outputTokens }) => outputTokens),
    ends.map(({ usd }) => money(usd)),
    ends.map(({ model }) => model),
    ends.map(({ forwarded }) => (forwarded ? 1 : 0)),
    ends.map(({ estimated }) => estimated),
    ends.map(({ implausible }) => implausible),
    ends.map(({ stop }) => stop),
    ends.map(({ tries }) => tries),
  ]);
}

/** Records a request that was refused before its row was opened. Throws `database_unreachable`. */
export async function recordRefusal(
  pool: Pool,
  refused: { ref: KeyRef; protocol: string; proxy: string; model: string | null; status: number; code: FailureCode },
): Promise<void> {
  const { ref, protocol, proxy, model, status, code } = refused;
  await run(pool, REFUSE, [ref, protocol, proxy, model, status, code]);
}

/** Subtracts used tokens from the token rates that have a limit. Throws `database_unreachable`. */
export async function consumeTokens(
  pool: Pool,
  { tenant, upstream, tokens }: { tenant: string; upstream: string; tokens: number },
  rates: SharedRates,
): Promise<void> {
  const [ofTenant, ofUpstream] = tokenScopes(tenant, upstream);
  const taken = [
    { scope: ofTenant, ms: rates.tenantTokenMs },
    { scope: ofUpstream, ms: rates.upstreamTokenMs },
  ].flatMap(({ scope, ms }) => (ms === null ? [] : [{ scope, s: (tokens * ms) / 1000 }]));
  if (taken.length > 0) await run(pool, CONSUME_TOKENS, [taken.map(({ scope }) => scope), taken.map(({ s }) => s)]);
}

function tokenScopes(tenant: string, upstream: string): [string, string] {
  return [`tokens of tenant ${tenant} ${upstream}`, `tokens of upstream ${upstream}`];
}

function hasTokenLimits({ tenantTokenMs, upstreamTokenMs }: SharedRates): boolean {
  return tenantTokenMs !== null || upstreamTokenMs !== null;
}

function money(usd: number): string {
  return roundUsd(usd).toFixed(12);
}

async function run<Row extends object>(pool: Pool, statement: { name?: string; text: string }, values: unknown[]): Promise<Row[]> {
  const query = { ...statement, values, query_timeout: QUERY_TIMEOUT_MS };
  const { rows } = await asDatabaseError(pool.query<Row>(query));
  return rows;
}
