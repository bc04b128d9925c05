import { ValetkeyError } from '../contract/errors.ts';
import { sumUsd } from '../contract/money.ts';
import type { JobResult, SettledJob, Usage } from '../contract/result.ts';
import type { Db } from '../store/database.ts';
import { keyAccounts } from '../store/key-usage.ts';
import { settle, type Settler } from '../store/settlements.ts';
import { readTurns } from '../store/turns.ts';

/** The outcome of a job, and how many of its turns ended with a stop reason: their results are in the store. */
export type JobToSettle = Omit<JobResult, 'turns' | 'usage' | 'keys' | 'endedAt'> & { turns: number };

/**
 * Settles a job to the gateway's own figure for each of its keys, which the end of each key has recorded, and stores the outcome of
 * the job. Idempotent on job id and lease; the caller retries. Throws `gateway_unreachable` while a key's spend is not final,
 * `database_unreachable`.
 */
export async function settleJob(db: Db, { turns: count, ...job }: JobToSettle, settler: Settler): Promise<SettledJob> {
  const { jobId, outcome, failure } = job;
  const [accounts, turns] = await Promise.all([keyAccounts(db, jobId), readTurns(db, jobId, count)]);
  const open = accounts.find(({ isSettled }) => !isSettled);
  if (open !== undefined) throw new ValetkeyError('gateway_unreachable', `The spend of the key ${open.life.ref} is not final yet.`);
  const keys = accounts.map(({ life }) => life);
  const usage = total(accounts.map((account) => account.usage));
  const endedAt = new Date().toISOString();
  const result: JobResult = { ...job, turns, usage, keys, endedAt };
  const { inputTokens, outputTokens, usd } = usage;
  await settle(db, result, settler, [
    { source: 'usage', body: { type: 'usage', inputTokens, outputTokens, usd } },
    { source: 'job.ended', body: { type: 'job.ended', outcome, code: failure?.code ?? null, message: failure?.message ?? null } },
  ]);
  return { outcome, turns: count, usage, endedAt };
}

function total(usages: readonly Usage[]): Usage {
  const sum = (of: (usage: Usage) => number): number => usages.reduce((all, usage) => all + of(usage), 0);
  return {
    inputTokens: sum(({ inputTokens }) => inputTokens),
    outputTokens: sum(({ outputTokens }) => outputTokens),
    requests: sum(({ requests }) => requests),
    usd: sumUsd(usages.map(({ usd }) => usd)),
  };
}
