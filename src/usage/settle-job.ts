import type { Gateway } from '../gateways/gateway.ts';
import { sumUsd } from '../job/money.ts';
import type { JobResult, Usage } from '../job/result.ts';
import type { Db } from '../store/database.ts';
import { keyLives } from '../store/keys.ts';
import { settle } from '../store/settlements.ts';

/**
 * Settles a job to the gateway's own figure for each of its keys, and stores how it ended. Called once they are dead.
 * Idempotent on job id; the caller retries. Throws `database_unreachable`, `gateway_unreachable`.
 */
export async function settleJob(db: Db, gateway: Gateway, job: Omit<JobResult, 'usage' | 'keys' | 'endedAt'>): Promise<JobResult> {
  const { jobId, outcome, failure } = job;
  const keys = await keyLives(db, jobId);
  const usage = total(await Promise.all(keys.map(({ ref }) => gateway.spend(ref))));
  const result: JobResult = { ...job, usage, keys, endedAt: new Date().toISOString() };
  const { inputTokens, outputTokens, usd } = usage;
  await settle(db, result, [
    { source: 'usage', body: { type: 'usage', inputTokens, outputTokens, usd } },
    { source: 'job.ended', body: { type: 'job.ended', outcome, code: failure?.code ?? null, message: failure?.message ?? null } },
  ]);
  return result;
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
