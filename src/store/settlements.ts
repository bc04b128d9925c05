import { sql } from 'kysely';

import type { FailureCode } from '../contract/errors.ts';
import type { JobResult, Outcome } from '../contract/result.ts';
import { asDatabaseError, type Db } from './database.ts';
import { appended, type SourcedEvent } from './events.ts';

/** The run that settles a job. */
export interface Settler {
  /** The job's lease id. */
  leaseId: string;
  /** The run that settles. */
  runId: string;
}

/**
 * Stores a job's outcome, its cost and the events about them, in one transaction. Idempotent on job id and lease: the row has the totals of
 * the ledger, so a repeat writes the same, and a job that was reset after its end is settled to its new total and never counted twice. The
 * settlement and the events of an earlier job with the same id stay as they are. Throws `database_unreachable`.
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
  // This commit waits for the disk; those of events alone do not.
  const commit = sql`set_config('synchronous_commit', 'on', true)`;
  await asDatabaseError(sql`with settling as (${settling}) select ${appended(result.jobId, events)}, ${commit} from settling`.execute(db));
}

/** Reads the result of a job; null while it is not settled. Throws `database_unreachable`. */
export async function readResult(db: Db, jobId: string): Promise<JobResult | null> {
  const row = await asDatabaseError(db.selectFrom('settlements').select('result').where('job_id', '=', jobId).executeTakeFirst());
  return row === undefined ? null : row.result;
}

/** Reads the id of the run that settled a job last; null while it is not settled. Throws `database_unreachable`. */
export async function readSettlingRun(db: Db, jobId: string): Promise<string | null> {
  const row = await asDatabaseError(db.selectFrom('settlements').select('run_id').where('job_id', '=', jobId).executeTakeFirst());
  return row === undefined ? null : row.run_id;
}

/** The outcome of a job; the code is null where it completed. */
export interface StoredOutcome {
  outcome: Outcome;
  code: FailureCode | null;
}

/** Reads the outcomes of the given jobs, by job id; a job that is not settled is absent. */
export async function readOutcomes(db: Db, jobIds: readonly string[]): Promise<Map<string, StoredOutcome>> {
  if (jobIds.length === 0) return new Map();
  const code = sql<FailureCode | null>`result -> 'failure' ->> 'code'`.as('code');
  const rows = await asDatabaseError(
    db.selectFrom('settlements').select(['job_id', 'outcome', code]).where('job_id', 'in', jobIds).execute(),
  );
  return new Map(rows.map(({ job_id, ...ended }) => [job_id, ended]));
}
