import { sql, type RawBuilder } from 'kysely';

import type { KeyRef } from '../contract/ref.ts';
import type { KeyLife, Usage } from '../contract/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import type { KeysRow } from './keys.ts';

/** Reads what a job has spent up to now, in USD. Throws `database_unreachable`. */
export async function spentUsd(db: Db, jobId: string): Promise<number> {
  const spent = sql<{ spent: string | null }>`select sum(spent_usd) as spent from keys where job_id = ${jobId}`;
  return Number((await asDatabaseError(spent.execute(db))).rows[0]?.spent ?? 0);
}

interface Metered extends Usage {
  estimatedUsd: number;
  completed: number;
  estimated: number;
  sinceEndMs: number;
}

const NOTHING: Metered = {
  inputTokens: 0,
  outputTokens: 0,
  requests: 0,
  usd: 0,
  estimatedUsd: 0,
  completed: 0,
  estimated: 0,
  sinceEndMs: 0,
};

/** Reads the usage of a key as the proxies recorded it; an unknown key has used nothing. Throws `database_unreachable`. */
export async function meteredUsage(db: Db, ref: KeyRef): Promise<Metered> {
  const row = await asDatabaseError(
    db
      .selectFrom('keys')
      .select(['spent_usd', 'input_tokens', 'output_tokens', 'requests', 'estimated_usd'])
      .select([countOf(sql`status = 200 and code is null and not estimated`).as('completed'), countOf(sql`estimated`).as('estimated')])
      .select(sql<number>`coalesce(extract(epoch from now() - ending_at) * 1000, 0)::float8`.as('since_end_ms'))
      .where('ref', '=', ref)
      .executeTakeFirst(),
  );
  if (row === undefined) return NOTHING;
  const { estimated_usd: estimatedUsd, completed, estimated, since_end_ms: sinceEndMs } = row;
  return { ...usageOf(row), estimatedUsd: Number(estimatedUsd), completed, estimated, sinceEndMs };
}

/** Counts the requests of a row of `keys`. */
function countOf(condition: RawBuilder<unknown>): RawBuilder<number> {
  return sql`(select count(*)::int from requests where requests.ref = keys.ref and ${condition})`;
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
