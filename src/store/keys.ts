import { sql } from 'kysely';

import type { KeyRef } from '../job/ref.ts';
import type { KeyLife, Usage } from '../job/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';
import type { KeyState } from './schema.ts';

/** Those who have a stream open on a key listen here for its ref. */
export const KEY_ENDED_CHANNEL = 'valetkey_key_ended';

type KeyOfJob = { ref: KeyRef; jobId: string };

export interface KeyIntent {
  ref: KeyRef;
  jobId: string;
  tenant: string;
  generation: number;
  gateway: string;
  models: readonly string[];
  /** USD. */
  budgetUsd: number;
  expiresAt: Date;
}

/** Puts the intent to mint on record, once a ref. Returns the state that the ledger has then. */
export async function recordIntent(db: Db, intent: KeyIntent): Promise<KeyState> {
  await asDatabaseError(
    db
      .insertInto('keys')
      .values({
        ref: intent.ref,
        job_id: intent.jobId,
        tenant: intent.tenant,
        generation: intent.generation,
        gateway: intent.gateway,
        state: 'minting',
        models: [...intent.models],
        budget_usd: intent.budgetUsd,
        expires_at: intent.expiresAt,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
  const state = await keyState(db, intent.ref);
  if (state === null) throw new Error('a key that was just recorded is not there');
  return state;
}

/** The state of a key; null for a ref that was never intended. */
export async function keyState(db: Db, ref: KeyRef): Promise<KeyState | null> {
  const row = await asDatabaseError(db.selectFrom('keys').select('state').where('ref', '=', ref).executeTakeFirst());
  return row?.state ?? null;
}

/** Makes an intended key live. False where its end has begun: the key stays dead. */
export async function activateKey(db: Db, ref: KeyRef, secretHash: Buffer): Promise<boolean> {
  const { numUpdatedRows } = await asDatabaseError(
    db
      .updateTable('keys')
      .set({ state: 'live', secret_hash: secretHash, minted_at: sql<Date>`coalesce(minted_at, now())` })
      .where('ref', '=', ref)
      .where('state', 'in', ['minting', 'live'])
      .executeTakeFirst(),
  );
  return numUpdatedRows > 0n;
}

/**
 * Disables a key from this moment on and tells those who have a stream open on it. One that never went live is dead at
 * once; one that was never intended is recorded as dead, so that a mint which comes late finds its end.
 */
export async function disableKey(
  db: Db,
  key: { ref: KeyRef; jobId: string; tenant: string; generation: number; gateway: string },
): Promise<void> {
  await asDatabaseError(
    sql`
      with ended as (
        insert into keys (ref, job_id, tenant, generation, gateway, state, models, budget_usd, expires_at, disabled_at)
        values (${key.ref}, ${key.jobId}, ${key.tenant}, ${key.generation}, ${key.gateway}, 'dead', '{}', 0, now(), now())
        on conflict (ref) do update set
          state = case when keys.state = 'dead' or keys.minted_at is null then 'dead' else 'disabled' end,
          disabled_at = coalesce(keys.disabled_at, now())
        returning ref
      )
      select pg_notify(${KEY_ENDED_CHANNEL}, ref) from ended`.execute(db),
  );
}

/** Records that the key was written into its sandbox, and events with it, in one round trip. Throws `database_unreachable`. */
export async function markBound(db: Db, { ref, jobId }: KeyOfJob, events: readonly SourcedEvent[]): Promise<void> {
  await asDatabaseError(
    sql`with marked as (update keys set bound_at = now() where ref = ${ref} and bound_at is null) select ${appended(jobId, events)}`.execute(
      db,
    ),
  );
}

/** Records that a request with the disabled key was refused, and events with it. Throws `database_unreachable`. */
export async function markDead(db: Db, { ref, jobId }: KeyOfJob, events: readonly SourcedEvent[]): Promise<void> {
  await asDatabaseError(
    sql`
      with marked as (update keys set state = 'dead', dead_at = coalesce(dead_at, now()) where ref = ${ref} and state <> 'live')
      select ${appended(jobId, events)}`.execute(db),
  );
}

/**
 * Stores the events of the end of a turn, and resolves to what the key has spent by then (USD), in one round trip. Throws
 * `database_unreachable`.
 */
export async function endTurn(db: Db, { ref, jobId }: KeyOfJob, events: readonly SourcedEvent[]): Promise<number> {
  const { rows } = await asDatabaseError(
    sql<{ spent: string | null }>`select (select spent_usd from keys where ref = ${ref}) as spent, ${appended(jobId, events)}`.execute(db),
  );
  return Number(rows[0]?.spent ?? 0);
}

/** What was used under a key. An unknown one has used nothing. */
export async function keyUsage(db: Db, ref: KeyRef): Promise<Usage> {
  const row = await asDatabaseError(
    db.selectFrom('keys').select(['spent_usd', 'input_tokens', 'output_tokens', 'requests']).where('ref', '=', ref).executeTakeFirst(),
  );
  if (row === undefined) return { inputTokens: 0, outputTokens: 0, requests: 0, usd: 0 };
  return { inputTokens: row.input_tokens, outputTokens: row.output_tokens, requests: row.requests, usd: Number(row.spent_usd) };
}

/** The lives of a job's keys, the oldest first. */
export async function keyLives(db: Db, jobId: string): Promise<KeyLife[]> {
  const rows = await asDatabaseError(
    db.selectFrom('keys').selectAll().where('job_id', '=', jobId).orderBy('intended_at').orderBy('generation').execute(),
  );
  return rows.map((row) => ({
    ref: row.ref,
    mintedAt: row.minted_at?.toISOString() ?? null,
    boundAt: row.bound_at?.toISOString() ?? null,
    firstUsedAt: row.first_used_at?.toISOString() ?? null,
    disabledAt: row.disabled_at?.toISOString() ?? null,
    observedDeadAt: row.dead_at?.toISOString() ?? null,
  }));
}

/** The state of each job's newest key and what all of its keys have spent (USD), by job id; a job without a key is not there. */
export async function jobKeys(db: Db, jobIds: readonly string[]): Promise<Map<string, { state: KeyState; usd: number }>> {
  if (jobIds.length === 0) return new Map();
  const rows = await asDatabaseError(
    db
      .selectFrom('keys')
      .select(['job_id', sql<KeyState>`(array_agg(state order by intended_at desc))[1]`.as('state'), sql<string>`sum(spent_usd)`.as('usd')])
      .where('job_id', 'in', jobIds)
      .groupBy('job_id')
      .execute(),
  );
  return new Map(rows.map(({ job_id, state, usd }) => [job_id, { state, usd: Number(usd) }]));
}
