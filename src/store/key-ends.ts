import { sql, type RawBuilder } from 'kysely';

import type { JobCredential } from '../contract/credential.ts';
import { isFailureCode, type FailureCode } from '../contract/errors.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Usage } from '../contract/result.ts';
import type { RevokeTarget } from '../contract/revocation.ts';
import { asDatabaseError, type Db } from './database.ts';
import { ledgerKey, type KeysRow, type LedgerKey, type LedgerKeyRow } from './keys.ts';

/** The progress of a key's end. */
export interface LedgerEnd extends LedgerKey {
  rootKeyId: string;
  /** The gateway's own id of the key; null where it has none, or where it is not known. */
  id: string | null;
  /** How often the mint was begun. */
  attempts: number;
  credential: JobCredential;
  /** The key that the gateway minted, sealed for the proxies; null for the built-in gateway. */
  upstreamSealed: string | null;
  /** When the end began; null where it has not. */
  endingAt: Date | null;
  /** The key was active once, as far as the ledger knows. */
  wasMinted: boolean;
  /** The key was written into its sandbox. */
  wasBound: boolean;
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

export type KeyEndRow = LedgerKeyRow &
  Pick<
    KeysRow,
    | 'root_key_id'
    | 'credential'
    | 'upstream_sealed'
    | 'upstream_id'
    | 'mint_attempts'
    | 'minted_at'
    | 'bound_at'
    | 'ending_at'
    | 'revoked_at'
    | 'settled_at'
    | 'deleted_at'
    | 'ended_at'
    | 'retry_at'
    | 'last_error'
  >;

/** Reads the progress of a key's end from its row. */
export function toKeyEnd(row: KeyEndRow): LedgerEnd {
  return {
    ...ledgerKey(row),
    rootKeyId: row.root_key_id,
    id: row.upstream_id,
    attempts: row.mint_attempts,
    credential: row.credential,
    upstreamSealed: row.upstream_sealed,
    endingAt: row.ending_at,
    wasMinted: row.minted_at !== null,
    wasBound: row.bound_at !== null,
    isRevoked: row.revoked_at !== null,
    isSettled: row.settled_at !== null,
    isDeleted: row.deleted_at !== null,
    isOver: row.ended_at !== null,
    retryAt: row.retry_at,
    lastError: isFailureCode(row.last_error) ? row.last_error : null,
  };
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

/** Lists the keys of a target whose end has begun and is not over. Throws `database_unreachable`. */
export async function endingKeys(db: Db, owner: string, target: RevokeTarget): Promise<LedgerEnd[]> {
  const { rows } = await asDatabaseError(
    sql<KeysRow>`
      select * from keys where owner = ${owner} and ended_at is null and ending_at is not null and ${whereTarget(target)} order by ref`.execute(
      db,
    ),
  );
  return rows.map(toKeyEnd);
}

/** Returns whether the ledger has any key of a target, ended keys included. Throws `database_unreachable`. */
export async function hasKeys(db: Db, owner: string, target: RevokeTarget): Promise<boolean> {
  const { rows } = await asDatabaseError(sql`select from keys where owner = ${owner} and ${whereTarget(target)} limit 1`.execute(db));
  return rows.length > 0;
}

/** The condition that a row is a key of a target. */
export function whereTarget(target: RevokeTarget): RawBuilder<boolean> {
  if ('ref' in target) return sql`ref = ${target.ref}`;
  return 'jobId' in target ? sql`job_id = ${target.jobId}` : sql`tenant = ${target.tenant}`;
}
