import { sql, type RawBuilder } from 'kysely';

import type { JobCredential } from '../contract/credential.ts';
import type { FailureCode } from '../contract/errors.ts';
import type { EndCause, KeyState } from '../contract/key.ts';
import { parseKeyRef, type KeyRef } from '../contract/ref.ts';
import type { RevokeTarget } from '../contract/revocation.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';
import { toKeyEnd, whereTarget, type EndProgress, type KeyEnd, type KeyEndRow } from './key-ends.ts';
import type { KeyOfJob, LedgerKey } from './keys.ts';

/*
 * The state machine of a key: every statement that changes `state` is in this file.
 *
 *     (no row) ──recordIntent──▶ minting ──activateKey──▶ active
 *                                   │                        │
 *                                   └── beginEnd, beginEnds ─┴─▶ disabled ──recordEnd──▶ revoked
 *                                                                   │ recordEnd: five failed attempts
 *                                                                   └──▶ stuck ──recordEnd──▶ revoked
 *     (no row) ──beginEnd──▶ revoked: a mint that comes later finds the end
 *
 * No transition leads back. From `beginEnd` on (`ending_at` is set) a key is neither minted nor renewed, whatever its state.
 */

/** The proxies listen on this channel for the refs of keys that end. */
export const KEY_ENDED_CHANNEL = 'valetkey_key_ended';
/** A key is `stuck` after this many failed attempts, for an operator to see. Its end is still retried without limit. */
export const STUCK_AFTER_ATTEMPTS = 5;
const MAX_RETRY_DELAY_S = 300;

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
  /** The state of the key; null where the intent is refused. */
  state: KeyState | null;
  /** The id of the secret's root key. */
  rootKeyId: string;
  /** How often the mint was begun, this time included. */
  attempts: number;
}

/**
 * Records the intent to mint, once per ref, and counts the attempts at it. Refused for a blocked tenant, for a job that had a key revoked, and for the id of an earlier
 * job. Throws `database_unreachable`.
 */
export async function recordIntent(db: Db, intent: KeyIntent): Promise<RecordedIntent> {
  const { rows } = await asDatabaseError(
    sql<{ refused: RecordedIntent['refused']; state: KeyState | null; root_key_id: string | null; mint_attempts: number | null }>`
      with barred as (
        select case when ${isBlocked(sql`${intent.tenant}`)} then 'tenant_blocked' when ${hadKeyRevoked(sql`${intent.jobId}`)} then 'key_refused'
                    when ${isUsed(intent)} then 'job_conflict' end as why
      ), fresh as (
        insert into keys (ref, job_id, tenant, generation, gateway, owner, state, root_key_id, models, credential, budget_usd, expires_at,
                          hard_expires_at)
        select ${intent.ref}, ${intent.jobId}, ${intent.tenant}, ${intent.generation}, ${intent.gateway}, ${intent.owner}, 'minting',
               ${intent.rootKeyId}, ${[...intent.models]}::text[], ${JSON.stringify(intent.credential)}::jsonb, ${intent.budgetUsd},
               ${intent.expiresAt}, ${intent.hardExpiresAt}
        from barred where why is null
        on conflict (ref) do update set mint_attempts = keys.mint_attempts + case when keys.state = 'minting' then 1 else 0 end
        returning state, root_key_id, mint_attempts
      )
      select why as refused, state, root_key_id, mint_attempts from barred left join fresh on true`.execute(db),
  );
  const [row] = rows;
  const { refused = null, state = null, root_key_id: rootKeyId, mint_attempts: attempts } = row ?? {};
  return { refused, state, rootKeyId: rootKeyId ?? '', attempts: attempts ?? 0 };
}

/** The secrets of a key that a gateway has minted. */
export interface MintedSecrets {
  secretHash: Buffer;
  /** The key that the proxy sends in its place, sealed for the proxies, and the gateway's id of it; null where there is none. */
  upstream: { sealed: string; id: string } | null;
  /** The attempt that alone may make the key active; null where all attempts minted the same. */
  onlyAttempt: number | null;
}

/**
 * Makes an intended key active, and stores events with it. Changes nothing, and resolves to `ended`, where the key's end has begun, or
 * where a block or revocation after the intent did not see the key yet; to `overtaken` where a later attempt mints the key. Throws
 * `database_unreachable`.
 */
export async function activateKey(
  db: Db,
  { ref, jobId }: KeyOfJob,
  { secretHash, upstream, onlyAttempt }: MintedSecrets,
  events: readonly SourcedEvent[] = [],
): Promise<'active' | 'ended' | 'overtaken'> {
  const { rows } = await asDatabaseError(
    sql`
      with activated as (
        update keys set state = 'active', secret_hash = ${secretHash}, minted_at = coalesce(minted_at, now()),
                        upstream_sealed = ${upstream?.sealed ?? null}, upstream_id = ${upstream?.id ?? null}
        where ref = ${ref} and state in ('minting', 'active') and ending_at is null
          and mint_attempts = coalesce(${onlyAttempt}, mint_attempts)
          and not ${isBlocked(sql`keys.tenant`)} and not ${hadKeyRevoked(sql`keys.job_id`)}
        returning ref
      )
      select ref, ${appended(jobId, events)} from activated`.execute(db),
  );
  if (rows.length > 0) return 'active';
  const overtaken = sql`select from keys where ref = ${ref} and ending_at is null and mint_attempts > ${onlyAttempt}`;
  return (await asDatabaseError(overtaken.execute(db))).rows.length > 0 ? 'overtaken' : 'ended';
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

/**
 * Begins the end of a key and notifies the proxies, which have requests of it open: from this moment on the ledger neither mints nor
 * renews it, and the built-in gateway refuses it. A key that was never intended is recorded as ended, so that a late mint finds its end.
 * The first cause stays. Throws `database_unreachable`.
 */
export async function beginEnd(db: Db, key: LedgerKey & { owner: string }, cause: EndCause): Promise<KeyEnd> {
  const { rows } = await asDatabaseError(
    sql<KeyEndRow & { others: number }>`
      with ended as (
        insert into keys (ref, job_id, tenant, generation, gateway, owner, state, models, budget_usd, expires_at, hard_expires_at,
                          ending_at, cause, disabled_at, settled_at, ended_at)
        values (${key.ref}, ${key.jobId}, ${key.tenant}, ${key.generation}, ${key.gateway}, ${key.owner}, 'revoked', '{}', 0, now(), now(),
                now(), ${cause}, now(), now(), now())
        on conflict (ref) do update set
          ${endingColumns(cause)}
        returning ref, job_id, tenant, generation, gateway, root_key_id, credential, upstream_id, upstream_sealed, mint_attempts, minted_at, bound_at, ending_at, revoked_at,
                  settled_at, deleted_at, ended_at, retry_at, last_error
      )
      select ended.*, pg_notify(${KEY_ENDED_CHANNEL}, ref),
             (select count(*)::int from keys where job_id = ${key.jobId} and ref <> ${key.ref} and ended_at is null) as others
      from ended`.execute(db),
  );
  const [row] = rows;
  if (row === undefined) throw new Error('The row of a key whose end was just recorded is missing.');
  return { ...toKeyEnd(row), others: row.others };
}

/** A key whose end is not over. */
export interface BegunEnd {
  ref: KeyRef;
  /** The end had not begun before. */
  isNew: boolean;
}

/**
 * Begins the end of all keys of a target at once, as `beginEnd` does with one: from this moment on the built-in gateway refuses them and
 * cuts their streams. Resolves to every key of the target whose end is not over. Throws `database_unreachable`.
 */
export async function beginEnds(db: Db, owner: string, target: RevokeTarget): Promise<BegunEnd[]> {
  const { rows } = await asDatabaseError(
    sql<{ ref: KeyRef; is_new: boolean }>`
      update keys set
        ${endingColumns('revoked')}
      where owner = ${owner} and ended_at is null and ${whereTarget(target)}
      returning ref, ending_at = now() as is_new, pg_notify(${KEY_ENDED_CHANNEL}, ref)`.execute(db),
  );
  return rows.map(({ ref, is_new: isNew }) => ({ ref, isNew }));
}

/**
 * Records the progress of an attempt, and its events; `error` is the code of the failure that stopped it. All times follow the clock of
 * Postgres. Throws `database_unreachable`.
 */
export async function recordEnd(
  db: Db,
  { ref, jobId }: KeyOfJob,
  progress: EndProgress,
  { error, events }: { error: FailureCode | null; events: readonly SourcedEvent[] },
): Promise<void> {
  const at = (ms: number | null) => sql`now() - make_interval(secs => ${ms === null ? null : (progress.tookMs - ms) / 1000}::float8)`;
  const { usage } = progress;
  const isRevoked = sql`(${progress.revokedMs !== null}::boolean or revoked_at is not null)`;
  await asDatabaseError(
    sql`
      with ended as (
        update keys set
          disabled_at = coalesce(disabled_at, ${at(progress.disabledMs)}),
          revoked_at = coalesce(revoked_at, ${at(progress.revokedMs)}),
          settled_at = coalesce(settled_at, ${nowIf(usage !== null)}),
          deleted_at = coalesce(deleted_at, ${at(progress.deletedMs)}),
          ended_at = coalesce(ended_at, ${nowIf(progress.isOver)}),
          spent_usd = case when gateway = 'builtin' then greatest(spent_usd, ${usage?.usd ?? 0}) else coalesce(${usage?.usd ?? null}, spent_usd) end,
          input_tokens = greatest(input_tokens, ${usage?.inputTokens ?? 0}),
          output_tokens = greatest(output_tokens, ${usage?.outputTokens ?? 0}),
          requests = greatest(requests, ${usage?.requests ?? 0}),
          attempts = attempts + ${error === null ? 0 : 1},
          last_error = coalesce(${error}, last_error),
          retry_at = case when ${error}::text is not null then now() + make_interval(secs => least(${MAX_RETRY_DELAY_S}, power(2, least(attempts, 16)))) end,
          state = case when ${isRevoked} then 'revoked' when ${error}::text is not null and attempts + 1 >= ${STUCK_AFTER_ATTEMPTS} then 'stuck' else state end
        where ref = ${ref}
      )
      select ${appended(jobId, events)}`.execute(db),
  );
}

/** Whether an earlier job had the same id, which budget, usage and events depend on. Jobs with the same id differ in their lease id. */
function isUsed({ jobId, ref }: KeyOfJob): RawBuilder<boolean> {
  return sql`exists (select from keys as other where other.job_id = ${jobId} and other.minted_at is not null
             and split_part(other.ref, '/', 2) <> ${parseKeyRef(ref).leaseId})`;
}

function isBlocked(tenant: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql`exists (select from blocked_tenants as blocked where blocked.tenant = ${tenant})`;
}

function hadKeyRevoked(jobId: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql`exists (select from keys as revoked where revoked.job_id = ${jobId} and revoked.cause = 'revoked')`;
}

/** The lease rule: a lease ends `leaseMs` from now by the clock of Postgres, never earlier than before and never after the hard expiry. */
function leaseEnd(leaseMs: number): RawBuilder<Date> {
  return sql`greatest(expires_at, least(hard_expires_at, now() + make_interval(secs => ${leaseMs / 1000})))`;
}

/** The disable rule: the first time and the first cause stay, and so does the state of a key that is revoked or stuck. */
function endingColumns(cause: EndCause): RawBuilder<unknown> {
  return sql`
    state = case when keys.state in ('revoked', 'stuck') then keys.state else 'disabled' end,
    ending_at = coalesce(keys.ending_at, now()),
    cause = coalesce(keys.cause, ${cause})`;
}

function nowIf(holds: boolean): RawBuilder<Date | null> {
  return sql`case when ${holds}::boolean then now() end`;
}
