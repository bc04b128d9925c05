import { sql, type RawBuilder, type Selectable } from 'kysely';

import type { GatewayName, JobCredential } from '../contract/credential.ts';
import type { EndCause, KeyState } from '../contract/key.ts';
import { parseKeyRef, type KeyRef } from '../contract/ref.ts';
import type { KeyLife, Usage } from '../contract/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';
import type { KeysTable } from './schema.ts';
import { upsertTurn, type EndedTurnRow } from './turns.ts';

export type KeyOfJob = { ref: KeyRef; jobId: string };

/** The identity of a key in the ledger. */
export interface LedgerKey extends KeyOfJob {
  tenant: string;
  generation: number;
  gateway: GatewayName;
}

export interface KeyIntent extends LedgerKey {
  /** Namespace and deployment of the workers. */
  owner: string;
  rootKeyId: string;
  models: readonly string[];
  /** The upstream credential that the key stands for. */
  credential: JobCredential;
  /** The job's budget in USD, which all its keys share. */
  budgetUsd: number;
  expiresAt: Date;
  /** No lease extends beyond this time. */
  hardExpiresAt: Date;
}

/** The ledger's answer to an intent to mint. */
export interface RecordedIntent {
  /** Why the job gets no key; null where it may have one. `job_conflict`: another job had the same id. */
  refused: 'tenant_blocked' | 'key_refused' | 'job_conflict' | null;
  /** The state of the key; null where the intent is refused and the ref is unknown. */
  state: KeyState | null;
  /** The id of the secret's root key. */
  rootKeyId: string;
}

/**
 * Records the intent to mint, once per ref. Refused for a blocked tenant, for a job that had a key revoked, and for the id of an earlier
 * job. Throws `database_unreachable`.
 */
export async function recordIntent(db: Db, intent: KeyIntent): Promise<RecordedIntent> {
  const { rows } = await asDatabaseError(
    sql<{ refused: RecordedIntent['refused']; state: KeyState | null; root_key_id: string | null }>`
      with barred as (
        select case when ${isBlocked(sql`${intent.tenant}`)} then 'tenant_blocked' when ${isRevoked(sql`${intent.jobId}`)} then 'key_refused'
                    when ${isUsed(intent)} then 'job_conflict' end as why
      ), fresh as (
        insert into keys (ref, job_id, tenant, generation, gateway, owner, state, root_key_id, models, credential, budget_usd, expires_at,
                          hard_expires_at)
        select ${intent.ref}, ${intent.jobId}, ${intent.tenant}, ${intent.generation}, ${intent.gateway}, ${intent.owner}, 'minting',
               ${intent.rootKeyId}, ${[...intent.models]}::text[], ${JSON.stringify(intent.credential)}::jsonb, ${intent.budgetUsd},
               ${intent.expiresAt}, ${intent.hardExpiresAt}
        from barred where why is null
        on conflict do nothing
        returning state, root_key_id
      ), known as (
        select state, root_key_id from fresh union all select state, root_key_id from keys where ref = ${intent.ref}
      )
      select why as refused, state, root_key_id from barred left join known on true`.execute(db),
  );
  const [row] = rows;
  return { refused: row?.refused ?? null, state: row?.state ?? null, rootKeyId: row?.root_key_id ?? '' };
}

/**
 * Makes an intended key active, and stores events with it. Resolves to false, and changes nothing, where the key's end has begun, or where
 * a block or revocation after the intent did not see the key yet. Throws `database_unreachable`.
 */
export async function activateKey(
  db: Db,
  { ref, jobId }: KeyOfJob,
  secretHash: Buffer,
  events: readonly SourcedEvent[] = [],
): Promise<boolean> {
  const { rows } = await asDatabaseError(
    sql`
      with activated as (
        update keys set state = 'active', secret_hash = ${secretHash}, minted_at = coalesce(minted_at, now())
        where ref = ${ref} and state in ('minting', 'active') and ending_at is null
          and not ${isBlocked(sql`keys.tenant`)} and not ${isRevoked(sql`keys.job_id`)}
        returning ref
      )
      select ref, ${appended(jobId, events)} from activated`.execute(db),
  );
  return rows.length > 0;
}

/** Whether an earlier job had the same id, which budget, usage and events depend on. Jobs with the same id differ in their lease id. */
function isUsed({ jobId, ref }: KeyOfJob): RawBuilder<boolean> {
  return sql`exists (select from keys as other where other.job_id = ${jobId} and other.minted_at is not null
             and split_part(other.ref, '/', 2) <> ${parseKeyRef(ref).leaseId})`;
}

function isBlocked(tenant: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql`exists (select from blocked_tenants as blocked where blocked.tenant = ${tenant})`;
}

function isRevoked(jobId: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql`exists (select from keys as revoked where revoked.job_id = ${jobId} and revoked.cause = 'revoked')`;
}

/** A row of the ledger. */
export type KeysRow = Selectable<KeysTable>;

export type LedgerKeyRow = Pick<KeysRow, 'ref' | 'job_id' | 'tenant' | 'generation' | 'gateway'>;

export function ledgerKey({ ref, job_id: jobId, tenant, generation, gateway }: LedgerKeyRow): LedgerKey {
  return { ref, jobId, tenant, generation, gateway };
}

/** The key that a job uses, or the newest of its keys. */
export interface CurrentKey extends LedgerKey {
  rootKeyId: string;
  hardExpiresAt: Date;
  credential: JobCredential;
  isActive: boolean;
  cause: EndCause | null;
}

/** Reads the newest active key of a job, else its newest; null where it never had one. Throws `database_unreachable`. */
export async function currentKey(db: Db, jobId: string): Promise<CurrentKey | null> {
  const [row] = (
    await asDatabaseError(
      sql<LedgerKeyRow & Pick<KeysRow, 'root_key_id' | 'hard_expires_at' | 'credential' | 'cause'> & { is_active: boolean }>`
        select ref, job_id, tenant, generation, gateway, root_key_id, hard_expires_at, credential, cause, state = 'active' and ending_at is null as is_active
        from keys where job_id = ${jobId} order by is_active desc, generation desc, intended_at desc limit 1`.execute(db),
    )
  ).rows;
  if (row === undefined) return null;
  const { root_key_id: rootKeyId, hard_expires_at: hardExpiresAt, credential, is_active: isActive, cause } = row;
  return { ...ledgerKey(row), rootKeyId, hardExpiresAt, credential, isActive, cause };
}

/** Lists the active keys of a job, the oldest first. Throws `database_unreachable`. */
export async function activeKeys(db: Db, jobId: string): Promise<(LedgerKey & { hardExpiresAt: Date })[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('keys')
      .selectAll()
      .where('job_id', '=', jobId)
      .where('state', '=', 'active')
      .where('ending_at', 'is', null)
      .orderBy('generation')
      .execute(),
  );
  return rows.map((row) => ({ ...ledgerKey(row), hardExpiresAt: row.hard_expires_at }));
}

/**
 * Extends the leases of a job's active keys to `leaseMs` from now by the clock of Postgres, but never beyond their hard expiry. Throws
 * `database_unreachable`.
 */
export async function extendLeases(db: Db, jobId: string, leaseMs: number): Promise<void> {
  await asDatabaseError(
    sql`update keys set expires_at = ${leaseEnd(leaseMs)} where job_id = ${jobId} and state = 'active' and ending_at is null`.execute(db),
  );
}

function leaseEnd(leaseMs: number): RawBuilder<Date> {
  return sql`greatest(expires_at, least(hard_expires_at, now() + make_interval(secs => ${leaseMs / 1000})))`;
}

/**
 * Records that a job's key was written into its sandbox, extends its lease to `leaseMs` from now, and stores events, in one round trip.
 * Throws `database_unreachable`.
 */
export async function markBound(db: Db, { ref, jobId }: KeyOfJob, leaseMs: number, events: readonly SourcedEvent[]): Promise<void> {
  await asDatabaseError(
    sql`
      with marked as (
        update keys set bound_at = coalesce(bound_at, now()), expires_at = ${leaseEnd(leaseMs)} where ref = ${ref} and ending_at is null
      )
      select ${appended(jobId, events)}`.execute(db),
  );
}

/** Reads what a job has spent up to now, in USD. Throws `database_unreachable`. */
export async function spentUsd(db: Db, jobId: string): Promise<number> {
  const spent = sql<{ spent: string | null }>`select sum(spent_usd) as spent from keys where job_id = ${jobId}`;
  return Number((await asDatabaseError(spent.execute(db))).rows[0]?.spent ?? 0);
}

/**
 * Stores the end of a turn with its events, and resolves to what the job has spent by then in USD, in one round trip. Throws
 * `database_unreachable`.
 */
export async function endTurn(db: Db, jobId: string, turn: EndedTurnRow, events: readonly SourcedEvent[]): Promise<number> {
  const spent = sql`select sum(spent_usd) from keys where job_id = ${jobId}`;
  const { rows } = await asDatabaseError(
    sql<{ spent: string | null }>`
      with storing as (${upsertTurn(db, jobId, turn)}) select (${spent}) as spent, ${appended(jobId, events)}`.execute(db),
  );
  return Number(rows[0]?.spent ?? 0);
}

/** Reads the usage of a key from the ledger; an unknown key has used nothing. */
export async function keyUsage(db: Db, ref: KeyRef): Promise<Usage> {
  const row = await asDatabaseError(
    db.selectFrom('keys').select(['spent_usd', 'input_tokens', 'output_tokens', 'requests']).where('ref', '=', ref).executeTakeFirst(),
  );
  return row === undefined ? { inputTokens: 0, outputTokens: 0, requests: 0, usd: 0 } : usageOf(row);
}

function usageOf(row: Pick<KeysRow, 'input_tokens' | 'output_tokens' | 'requests' | 'spent_usd'>): Usage {
  return {
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    requests: Number(row.requests),
    usd: Number(row.spent_usd),
  };
}

/** A key's life and its usage, which is final where `isSettled`. */
export interface KeyAccount {
  life: KeyLife;
  usage: Usage;
  isSettled: boolean;
}

/** Reads a job's keys with their usage, the oldest first. */
export async function keyAccounts(db: Db, jobId: string): Promise<KeyAccount[]> {
  const rows = await asDatabaseError(
    db
      .selectFrom('keys')
      .select(['ref', 'minted_at', 'bound_at', 'first_used_at', 'disabled_at', 'revoked_at', 'settled_at'])
      .select(['spent_usd', 'input_tokens', 'output_tokens', 'requests'])
      .where('job_id', '=', jobId)
      .orderBy('intended_at')
      .orderBy('generation')
      .execute(),
  );
  return rows.map((row) => ({
    life: {
      ref: row.ref,
      mintedAt: row.minted_at?.toISOString() ?? null,
      boundAt: row.bound_at?.toISOString() ?? null,
      firstUsedAt: row.first_used_at?.toISOString() ?? null,
      disabledAt: row.disabled_at?.toISOString() ?? null,
      revokedAt: row.revoked_at?.toISOString() ?? null,
    },
    usage: usageOf(row),
    isSettled: row.settled_at !== null,
  }));
}

/** Reads the lives of a job's keys, the oldest first. */
export async function keyLives(db: Db, jobId: string): Promise<KeyLife[]> {
  return (await keyAccounts(db, jobId)).map(({ life }) => life);
}

/** A summary of a job's keys. */
export interface KeysSummary {
  /** The state of the newest key. */
  state: KeyState;
  /** The spend of all keys together. */
  usd: number;
  /** When the intent of the first key was recorded, ISO 8601. */
  since: string;
}

/** Summarizes the keys of each job, by job id; a job without a key is absent. */
export async function jobKeys(db: Db, jobIds: readonly string[]): Promise<Map<string, KeysSummary>> {
  if (jobIds.length === 0) return new Map();
  const rows = await asDatabaseError(
    db
      .selectFrom('keys')
      .select(['job_id', sql<KeyState>`(array_agg(state order by intended_at desc))[1]`.as('state'), sql<string>`sum(spent_usd)`.as('usd')])
      .select(({ fn }) => fn.min('intended_at').as('since'))
      .where('job_id', 'in', jobIds)
      .groupBy('job_id')
      .execute(),
  );
  return new Map(rows.map(({ job_id, state, usd, since }) => [job_id, { state, usd: Number(usd), since: since.toISOString() }]));
}
