import { sql } from 'kysely';

import type { FailureCode } from '../job/errors.ts';
import type { JobResult, Outcome } from '../job/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';

/**
 * Stores how a job ended and what it cost, and the events that tell it, in one transaction. Idempotent on job id: it holds
 * totals of the ledger, so a repeat writes the same, and a job that was reset after its end is settled to its new total, never
 * added up twice.
 */
export async function settle(db: Db, result: JobResult, events: readonly SourcedEvent[]): Promise<void> {
  const figures = {
    outcome: result.outcome,
    usd: result.usage.usd,
    input_tokens: result.usage.inputTokens,
    output_tokens: result.usage.outputTokens,
    requests: result.usage.requests,
    result: JSON.stringify(result),
  };
  const settling = db
    .insertInto('settlements')
    .values({ job_id: result.jobId, tenant: result.tenant, ...figures })
    .onConflict((conflict) => conflict.column('job_id').doUpdateSet(figures));
  // Waits for the disk, where events alone do not.
  const commit = sql`set_config('synchronous_commit', 'on', true)`;
  await asDatabaseError(sql`with settling as (${settling}) select ${appended(result.jobId, events)}, ${commit}`.execute(db));
}

/** The stored result of a job; null while it was not settled. */
export async function readResult(db: Db, jobId: string): Promise<JobResult | null> {
  const row = await asDatabaseError(db.selectFrom('settlements').select('result').where('job_id', '=', jobId).executeTakeFirst());
  return row === undefined ? null : row.result;
}

/** How a job ended: the code is null where it completed. */
export interface StoredOutcome {
  outcome: Outcome;
  code: FailureCode | null;
}

/** How the given jobs ended, by job id; a job that was not settled is not there. */
export async function readOutcomes(db: Db, jobIds: readonly string[]): Promise<Map<string, StoredOutcome>> {
  if (jobIds.length === 0) return new Map();
  const code = sql<FailureCode | null>`result -> 'failure' ->> 'code'`.as('code');
  const rows = await asDatabaseError(
    db.selectFrom('settlements').select(['job_id', 'outcome', code]).where('job_id', 'in', jobIds).execute(),
  );
  return new Map(rows.map(({ job_id, ...ended }) => [job_id, ended]));
}
