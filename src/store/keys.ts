import { sql, type Selectable } from 'kysely';

import type { JobCredential } from '../contract/credential.ts';
import type { GatewayName } from '../contract/gateway-name.ts';
import type { EndCause, KeyState } from '../contract/key.ts';
import type { KeyRef } from '../contract/ref.ts';
import { asDatabaseError, type Db } from './database.ts';
import type { KeysTable } from './schema.ts';

export type KeyOfJob = { ref: KeyRef; jobId: string };

/** The identity of a key in the ledger. */
export interface LedgerKey extends KeyOfJob {
  tenant: string;
  generation: number;
  gateway: GatewayName;
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
  /** The gateway's own id of the key; null where it has none. */
  id: string | null;
  /** How often the mint was begun. */
  attempts: number;
  /** The key that the gateway minted, sealed for the proxies; null for the built-in gateway. */
  upstreamSealed: string | null;
  isActive: boolean;
  cause: EndCause | null;
}

/** Reads the newest active key of a job, else its newest; null where it never had one. Throws `database_unreachable`. */
export async function currentKey(db: Db, jobId: string): Promise<CurrentKey | null> {
  const [row] = (
    await asDatabaseError(
      sql<
        LedgerKeyRow &
          Pick<
            KeysRow,
            'root_key_id' | 'hard_expires_at' | 'credential' | 'cause' | 'upstream_id' | 'mint_attempts' | 'upstream_sealed'
          > & {
            is_active: boolean;
          }
      >`
        select ref, job_id, tenant, generation, gateway, root_key_id, hard_expires_at, credential, cause, upstream_id, mint_attempts, upstream_sealed,
               state = 'active' and ending_at is null as is_active
        from keys where job_id = ${jobId} order by is_active desc, generation desc, intended_at desc limit 1`.execute(db),
    )
  ).rows;
  if (row === undefined) return null;
  const { root_key_id: rootKeyId, hard_expires_at: hardExpiresAt, credential, is_active: isActive, cause } = row;
  return {
    ...ledgerKey(row),
    rootKeyId,
    hardExpiresAt,
    credential,
    id: row.upstream_id,
    attempts: row.mint_attempts,
    upstreamSealed: row.upstream_sealed,
    isActive,
    cause,
  };
}

/** Lists the active keys of a job, the oldest first. Throws `database_unreachable`. */
export async function activeKeys(db: Db, jobId: string): Promise<(LedgerKey & Pick<CurrentKey, 'hardExpiresAt' | 'id' | 'attempts'>)[]> {
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
  return rows.map((row) => ({ ...ledgerKey(row), hardExpiresAt: row.hard_expires_at, id: row.upstream_id, attempts: row.mint_attempts }));
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
