import { sql } from 'kysely';

import type { FailureCode } from '../contract/errors.ts';
import type { JobResult, Outcome } from '../contract/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';

/** Whose settlement it is. */
export interface Settler {
  /** The job's lease. */
  leaseId: string;
  /** The run that settles. */
  runId: string;
}

/**
 * Stores how a job ended and what it cost, and the events that tell it, in one transaction. Idempotent on job id and lease: it holds
 * totals of the ledger, so a repeat writes the same, and a job that was reset after its end is settled to its new total, never
 * added up twice. The settlement of an earlier job of the same id stays, and so do its events. Throws `database_unreachable`.
 */
export async function settle(db: Db, result: JobResult, { leaseId, runId }: Settler, events: readonly SourcedEvent[]): Promise<void> {
  const figures = {
    outcome: result.outcome,
    usd: result.usage.usd,
    input_tokens: result.usage.inputTokens,
    output_tokens: result.usage.outputTokens,
    requests: result.usage.requests,
    result: JSON.stringify(result),
    lease_id: leaseId,
    run_id: runId,
  };
  const settling = db
    .insertInto('settlements')
    .values({ job_id: result.jobId, tenant: result.tenant, ...figures })
    .onConflict((conflict) => conflict.column('job_id').doUpdateSet(figures).where('settlements.lease_id', 'in', ['', leaseId]))
    .returning('job_id');
  // Waits for the disk, where events alone do not.
  const commit = sql`set_config('synchronous_commit', 'on', true)`;
  await asDatabaseError(sql`with settling as (${settling}) select ${appended(result.jobId, events)}, ${commit} from settling`.execute(db));
}

/** The stored result of a job; null while it was not settled. Throws `database_unreachable`. */
export async function readResult(db: Db, jobId: string): Promise<JobResult | null> {
  const row = await asDatabaseError(db.selectFrom('settlements').select('result').where('job_id', '=', jobId).executeTakeFirst());
  return row === undefined ? null : row.result;
}

/** The run of its job that settled it last; null while it was not settled. Throws `database_unreachable`. */
export async function readSettlingRun(db: Db, jobId: string): Promise<string | null> {
  const row = await asDatabaseError(db.selectFrom('settlements').select('run_id').where('job_id', '=', jobId).executeTakeFirst());
  return row === undefined ? null : row.run_id;
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
