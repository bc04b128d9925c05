import { sql } from 'kysely';

import { isDirect } from '../contract/credential.ts';
import { isFailureCode } from '../contract/errors.ts';
import type { KeyInfo } from '../contract/key-info.ts';
import type { KeyState } from '../contract/key.ts';
import type { KeyCounts } from '../telemetry/key-metrics.ts';
import { asDatabaseError, type Db } from './database.ts';
import { STUCK_AFTER_ATTEMPTS } from './key-transitions.ts';
import { ledgerKey, type KeysRow } from './keys.ts';

/** Which keys, in the order of the ledger: the newest first. */
export interface KeyQuery {
  tenant?: string | undefined;
  jobId?: string | undefined;
  state?: KeyState | undefined;
  limit: number;
  /** The key after which to begin. */
  after?: KeyPlace | undefined;
}

/** Place of a key in the list. */
export interface KeyPlace {
  /** As Postgres writes it: a Date has no microseconds. */
  at: string;
  ref: string;
}

/** Lists an owner's keys, the newest first, each with its place. @throws `database_unreachable` */
export async function listLedgerKeys(
  db: Db,
  owner: string,
  { tenant, jobId, state, limit, after }: KeyQuery,
): Promise<{ key: KeyInfo; place: KeyPlace }[]> {
  const at = sql<string>`intended_at::text`.as('at');
  let query = db.selectFrom('keys').selectAll().select(at).where('owner', '=', owner);
  if (tenant !== undefined) query = query.where('tenant', '=', tenant);
  if (jobId !== undefined) query = query.where('job_id', '=', jobId);
  // A revoked key can be stuck, too: its spend does not settle, or the gateway does not delete it.
  if (state === 'stuck') query = query.where('attempts', '>=', STUCK_AFTER_ATTEMPTS);
  else if (state !== undefined) query = query.where('state', '=', state);
  // Few keys have not ended, and an index covers them.
  if (state !== undefined && state !== 'revoked') query = query.where('ended_at', 'is', null);
  if (after !== undefined) query = query.where(sql<boolean>`(intended_at, ref) < (${after.at}::timestamptz, ${after.ref})`);
  const rows = await asDatabaseError(query.orderBy('intended_at', 'desc').orderBy('ref', 'desc').limit(limit).execute());
  return rows.map((row) => ({ key: toKeyInfo(row), place: { at: row.at, ref: row.ref } }));
}

function toKeyInfo(row: KeysRow): KeyInfo {
  return {
    ...ledgerKey(row),
    strategy: row.credential.strategy,
    delivery: isDirect(row.credential) ? 'direct' : 'brokered',
    state: row.state,
    cause: row.cause,
    createdAt: row.intended_at.toISOString(),
    mintedAt: row.minted_at?.toISOString() ?? null,
    expiresAt: row.expires_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
    spentUsd: Number(row.spent_usd),
    estimatedUsd: Number(row.estimated_usd),
    refusedRequests: Number(row.refused_requests),
    attempts: row.attempts,
    lastError: isFailureCode(row.last_error) ? row.last_error : null,
    retryAt: row.retry_at?.toISOString() ?? null,
  };
}

/** Counts an owner's keys in the ledger. Throws `database_unreachable`. */
export async function countKeys(db: Db, owner: string): Promise<KeyCounts> {
  const { rows } = await asDatabaseError(
    sql<{ active: number; stuck: number; orphan: number | null }>`
      select count(*) filter (where state = 'active' and ending_at is null)::int as active, count(*) filter (where attempts >= ${STUCK_AFTER_ATTEMPTS})::int as stuck,
             extract(epoch from now() - min(orphan_since))::float8 as orphan
      from keys where owner = ${owner} and ended_at is null`.execute(db),
  );
  const [row] = rows;
  return { active: row?.active ?? 0, stuck: row?.stuck ?? 0, oldestOrphanSeconds: row?.orphan ?? 0 };
}

/** The root key that an owner's newest key was derived from; null: it never had a key. Throws `database_unreachable`. */
export async function newestRootKey(db: Db, owner: string): Promise<string | null> {
  const newest = db.selectFrom('keys').select('root_key_id').where('owner', '=', owner).orderBy('intended_at', 'desc').limit(1);
  return (await asDatabaseError(newest.executeTakeFirst()))?.root_key_id ?? null;
}

/** Lists what gateways minted for keys whose end is not over, as it is sealed. Throws `database_unreachable`. */
export async function openUpstreamKeys(db: Db): Promise<string[]> {
  const query = db.selectFrom('keys').select('upstream_sealed').where('ended_at', 'is', null).where('upstream_sealed', 'is not', null);
  return (await asDatabaseError(query.execute())).flatMap(({ upstream_sealed: sealed }) => sealed ?? []);
}

/** Counts the keys whose end is not over by root key, of one owner or of all. Throws `database_unreachable`. */
export async function openKeysByRootKey(db: Db, owner?: string): Promise<Map<string, number>> {
  const query = db
    .selectFrom('keys')
    .select(['root_key_id', sql<number>`count(*)::int`.as('count')])
    .where('ended_at', 'is', null)
    .groupBy('root_key_id');
  const rows = await asDatabaseError((owner === undefined ? query : query.where('owner', '=', owner)).execute());
  return new Map(rows.map(({ root_key_id, count }) => [root_key_id, count]));
}
