import { sql, type RawBuilder } from 'kysely';

import { isFailureCode, type FailureCode } from '../contract/errors.ts';
import type { EndCause } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Usage } from '../contract/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';
import { ledgerKey, type KeyOfJob, type KeysRow, type LedgerKey, type LedgerKeyRow } from './keys.ts';

/** The proxies listen on this channel for the refs of keys that end. */
export const KEY_ENDED_CHANNEL = 'valetkey_key_ended';

/** The progress of a key's end. */
export interface LedgerEnd extends LedgerKey {
  rootKeyId: string;
  /** When the end began; null where it has not. */
  endingAt: Date | null;
  /** The key was active once, as far as the ledger knows. */
  wasMinted: boolean;
  isRevoked: boolean;
  isSettled: boolean;
  isDeleted: boolean;
  isOver: boolean;
  /** Null where the last attempt did not fail. */
  retryAt: Date | null;
  /** The code of the last failed attempt; null where none failed. */
  lastError: FailureCode | null;
}

/** A key whose end has begun. */
export interface KeyEnd extends LedgerEnd {
  /** The number of other keys of the job whose end is not over. */
  others: number;
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
          state = case when keys.state in ('revoked', 'stuck') then keys.state else 'disabled' end,
          ending_at = coalesce(keys.ending_at, now()),
          cause = coalesce(keys.cause, excluded.cause)
        returning ref, job_id, tenant, generation, gateway, root_key_id, minted_at, ending_at, revoked_at, settled_at, deleted_at, ended_at,
                  retry_at, last_error
      )
      select ended.*, pg_notify(${KEY_ENDED_CHANNEL}, ref),
             (select count(*)::int from keys where job_id = ${key.jobId} and ref <> ${key.ref} and ended_at is null) as others
      from ended`.execute(db),
  );
  const [row] = rows;
  if (row === undefined) throw new Error('The row of a key whose end was just recorded is missing.');
  return { ...toKeyEnd(row), others: row.others };
}

type KeyEndRow = LedgerKeyRow &
  Pick<
    KeysRow,
    'root_key_id' | 'minted_at' | 'ending_at' | 'revoked_at' | 'settled_at' | 'deleted_at' | 'ended_at' | 'retry_at' | 'last_error'
  >;

/** Reads the progress of a key's end from its row. */
export function toKeyEnd(row: KeyEndRow): LedgerEnd {
  return {
    ...ledgerKey(row),
    rootKeyId: row.root_key_id,
    endingAt: row.ending_at,
    wasMinted: row.minted_at !== null,
    isRevoked: row.revoked_at !== null,
    isSettled: row.settled_at !== null,
    isDeleted: row.deleted_at !== null,
    isOver: row.ended_at !== null,
    retryAt: row.retry_at,
    lastError: isFailureCode(row.last_error) ? row.last_error : null,
  };
}

/** The progress of one attempt at a key's end. The times are ms since the attempt began, null where the step was not reached. */
export interface EndProgress {
  /** The duration of the attempt up to now. */
  tookMs: number;
  disabledMs: number | null;
  revokedMs: number | null;
  /** The final usage. */
  usage: Usage | null;
  deletedMs: number | null;
  /** The end is complete. */
  isOver: boolean;
}

/** A key is `stuck` after this many failed attempts, for an operator to see. Its end is still retried without limit. */
export const STUCK_AFTER_ATTEMPTS = 5;
const MAX_RETRY_DELAY_S = 300;

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
          spent_usd = greatest(spent_usd, ${usage?.usd ?? 0}),
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

function nowIf(holds: boolean): RawBuilder<Date | null> {
  return sql`case when ${holds}::boolean then now() end`;
}

/** Lists the keys of the given jobs whose end is not over. Throws `database_unreachable`. */
export async function openKeys(db: Db, owner: string, jobIds: readonly string[]): Promise<LedgerEnd[]> {
  if (jobIds.length === 0) return [];
  const rows = await asDatabaseError(
    db
      .selectFrom('keys')
      .selectAll()
      .where('ended_at', 'is', null)
      .where('owner', '=', owner)
      .where('job_id', 'in', jobIds)
      .orderBy('generation')
      .execute(),
  );
  return rows.map(toKeyEnd);
}

/** Reads those of the given keys that are in the ledger. Throws `database_unreachable`. */
export async function readKeys(db: Db, refs: readonly KeyRef[]): Promise<LedgerEnd[]> {
  if (refs.length === 0) return [];
  return (await asDatabaseError(db.selectFrom('keys').selectAll().where('ref', 'in', refs).execute())).map(toKeyEnd);
}
