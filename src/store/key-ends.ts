import { sql, type RawBuilder } from 'kysely';

import { isFailureCode, type FailureCode } from '../contract/errors.ts';
import type { EndCause } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Usage } from '../contract/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';
import { ledgerKey, type KeyOfJob, type KeysRow, type LedgerKey, type LedgerKeyRow } from './keys.ts';

/** Those who have a stream open on a key listen here for its ref. */
export const KEY_ENDED_CHANNEL = 'valetkey_key_ended';

/** How far the end of a key has come. */
export interface LedgerEnd extends LedgerKey {
  rootKeyId: string;
  /** When its end began; null: it has not. */
  endingAt: Date | null;
  /** It was active once, as far as the ledger knows. */
  wasMinted: boolean;
  isRevoked: boolean;
  isSettled: boolean;
  isDeleted: boolean;
  isOver: boolean;
  /** Null where the last attempt did not fail. */
  retryAt: Date | null;
  /** What the last attempt that failed met; null where none did. */
  lastError: FailureCode | null;
}

/** What a key's end finds. */
export interface KeyEnd extends LedgerEnd {
  /** Other keys of its job whose end is not over. */
  others: number;
}

/**
 * Begins the end of a key and tells those who have a stream open on it: from this moment on the ledger neither mints nor renews it,
 * and the built-in gateway refuses it. One that was never intended is recorded as ended, so that a mint which comes late finds its
 * end. The first cause stays. Throws `database_unreachable`.
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
  if (row === undefined) throw new Error('a key whose end was just recorded is not there');
  return { ...toKeyEnd(row), others: row.others };
}

type KeyEndRow = LedgerKeyRow &
  Pick<
    KeysRow,
    'root_key_id' | 'minted_at' | 'ending_at' | 'revoked_at' | 'settled_at' | 'deleted_at' | 'ended_at' | 'retry_at' | 'last_error'
  >;

/** How far the end of a key has come, by its row. */
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

/** What an attempt at the end of a key saw; each ms from the beginning of the attempt, null where it did not come so far. */
export interface EndProgress {
  /** From the attempt's beginning to now. */
  tookMs: number;
  disabledMs: number | null;
  revokedMs: number | null;
  /** Final. */
  usage: Usage | null;
  deletedMs: number | null;
  /** Nothing is left to do. */
  isOver: boolean;
}

/** After so many failed attempts a key is `stuck`: somebody should look. Its end is tried on for ever. */
export const STUCK_AFTER = 5;
const MAX_PAUSE_S = 300;

/**
 * Records how far an attempt came, and events with it; `error`: what stopped it. All times are by the clock of Postgres. Throws
 * `database_unreachable`.
 */
export async function recordEnd(
  db: Db,
  { ref, jobId }: KeyOfJob,
  seen: EndProgress,
  { error, events }: { error: FailureCode | null; events: readonly SourcedEvent[] },
): Promise<void> {
  const at = (ms: number | null) => sql`now() - make_interval(secs => ${ms === null ? null : (seen.tookMs - ms) / 1000}::float8)`;
  const { usage } = seen;
  const isRevoked = sql`(${seen.revokedMs !== null}::boolean or revoked_at is not null)`;
  await asDatabaseError(
    sql`
      with ended as (
        update keys set
          disabled_at = coalesce(disabled_at, ${at(seen.disabledMs)}),
          revoked_at = coalesce(revoked_at, ${at(seen.revokedMs)}),
          settled_at = coalesce(settled_at, ${nowIf(usage !== null)}),
          deleted_at = coalesce(deleted_at, ${at(seen.deletedMs)}),
          ended_at = coalesce(ended_at, ${nowIf(seen.isOver)}),
          spent_usd = greatest(spent_usd, ${usage?.usd ?? 0}),
          input_tokens = greatest(input_tokens, ${usage?.inputTokens ?? 0}),
          output_tokens = greatest(output_tokens, ${usage?.outputTokens ?? 0}),
          requests = greatest(requests, ${usage?.requests ?? 0}),
          attempts = attempts + ${error === null ? 0 : 1},
          last_error = coalesce(${error}, last_error),
          retry_at = case when ${error}::text is not null then now() + make_interval(secs => least(${MAX_PAUSE_S}, power(2, least(attempts, 16)))) end,
          state = case when ${isRevoked} then 'revoked' when ${error}::text is not null and attempts + 1 >= ${STUCK_AFTER} then 'stuck' else state end
        where ref = ${ref}
      )
      select ${appended(jobId, events)}`.execute(db),
  );
}

function nowIf(holds: boolean): RawBuilder<Date | null> {
  return sql`case when ${holds}::boolean then now() end`;
}

/** The keys of a job, or of any of some, whose end is not over. Throws `database_unreachable`. */
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

/** Those of the given keys that the ledger has. Throws `database_unreachable`. */
export async function readKeys(db: Db, refs: readonly KeyRef[]): Promise<LedgerEnd[]> {
  if (refs.length === 0) return [];
  return (await asDatabaseError(db.selectFrom('keys').selectAll().where('ref', 'in', refs).execute())).map(toKeyEnd);
}
