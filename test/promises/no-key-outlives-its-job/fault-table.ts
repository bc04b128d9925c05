import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';

import type { JobResult } from '../../../src/contract/result.ts';
import type { SweepInput, SweepReport } from '../../../src/contract/sweep.ts';
import type { Stack } from '../../../src/dev/stack.ts';
import { openDatabase } from '../../../src/store/database.ts';
import { auditKeys } from '../../fakes/gateway/audit.ts';
import { jobIdOf } from '../../fakes/gateway/ledger.ts';
import type { FakeGatewayServer } from '../../fakes/gateway/server.ts';
import { jobSpec } from '../../helpers/stack.ts';
import type { CaseReport } from '../../proofs/keys/case.ts';
import { CASES, type FaultCase } from './fault-cases.ts';

/** A stack whose jobs get their keys from a fake gateway, and whose sweep has a grace of a second. */
export interface FaultyStack extends Stack {
  fake: FakeGatewayServer;
}

/** Jobs that run at once. */
const AT_ONCE = 8;
/** Between two sweeps, which run beside the jobs all the time. */
const SWEEP_PAUSE_MS = 2_000;
/** For the sweep to find what is left when all jobs have ended: two looks with a grace between, and a late mint before. */
const QUIET_MS = 60_000;

/**
 * Runs a job of the agent `mock` under each fault, some at once, with the sweep beside them; then, when nothing is left to be done, asks
 * the records of the gateway and the ledger. `whole`: every case, else about a third.
 */
export async function runFaultTable({ stack, whole }: { stack: FaultyStack; whole: boolean }): Promise<CaseReport[]> {
  const over = new AbortController();
  const sweeping = sweepUntil(stack, over.signal);
  const queue = CASES.filter(({ isShort }) => whole || isShort);
  const ended: EndedCase[] = [];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) ended.push(await runCase(stack, next));
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const giveUpMs = Date.now() + QUIET_MS;
    while (stack.fake.ledger.keys.some(({ deletedAt }) => deletedAt === null) && Date.now() < giveUpMs) await sleep(100);
  } finally {
    over.abort();
    await sweeping;
  }
  const swept = await sweptBeforeTheEnd(stack);
  return ended.map((one) => report(stack, one, swept));
}

interface EndedCase extends FaultCase {
  jobId: string;
  result: JobResult;
}

async function runCase({ client, fake }: FaultyStack, one: FaultCase): Promise<EndedCase> {
  const jobId = `fault-${randomUUID()}`;
  fake.faults.arm(one.call, one.fault, { jobId, times: one.times });
  await client.jobs.submit(jobSpec({ agent: 'mock' }), { id: jobId });
  return { ...one, jobId, result: await client.jobs.result(jobId) };
}

function report({ fake }: FaultyStack, { name, jobId, result, ends, fault }: EndedCase, swept: ReadonlyMap<string, number>): CaseReport {
  const { orphans, doubles, secondsToDead, expired, left, lateUses } = auditKeys(fake.ledger, jobId, Date.parse(result.endedAt), 0);
  const how = result.failure?.code ?? result.outcome;
  const spent = fake.ledger.usageOfJob(jobId).usd;
  const befell = fake.ledger.calls.some((made) => made.fault === fault && jobIdOf(made.alias ?? '') === jobId);
  const isOld = fault.is === 'clock' && fault.offMs < 0;
  const complaints = [
    ...(expired === 0 || isOld ? [] : [`nobody ended ${expired} keys: they expired`]),
    ...(fault.is === 'cached' && secondsToDead !== 0 ? ['its key counted as dead and was accepted'] : []),
    ...(left === 0 ? [] : [`the gateway still has ${left} keys`]),
    ...(lateUses === 0 ? [] : [`${lateUses} requests were accepted after the end of the job`]),
    ...(ends.some((end) => end === how) ? [] : [`it ended with ${how}: ${result.failure?.message}`]),
    ...(spent === result.usage.usd ? [] : [`the gateway has USD ${spent}, the settlement ${result.usage.usd}`]),
    ...(befell ? [] : ['the fault did not befall it']),
  ];
  return {
    name,
    cause: 'fault',
    orphans: orphans + lateUses,
    doubles,
    sweptLive: swept.get(jobId) ?? 0,
    secondsToDead,
    complaints: complaints.map((complaint) => `${name}: ${complaint}`),
  };
}

/** By job: keys that the sweep ended before the settlement of a job. */
async function sweptBeforeTheEnd({ config: { databaseUrl = '' } }: Stack): Promise<Map<string, number>> {
  const database = openDatabase(databaseUrl);
  const rows = await database.db
    .selectFrom('keys')
    .innerJoin('settlements', 'settlements.job_id', 'keys.job_id')
    .select(['keys.job_id', (key) => key.fn.countAll<string>().as('count')])
    .where('cause', '=', 'swept')
    .whereRef('ending_at', '<', 'settlements.settled_at')
    .groupBy('keys.job_id')
    .execute();
  await database.close();
  return new Map(rows.map(({ job_id, count }) => [job_id, Number(count)]));
}

async function sweepUntil(stack: Stack, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await sweepOnce(stack);
    await sleep(SWEEP_PAUSE_MS, undefined, { signal: over }).catch(() => {});
  }
}

/** Has the sweep look once. */
export async function sweepOnce({ config, temporal: { address, namespace } }: Stack): Promise<SweepReport> {
  const connection = await Connection.connect({ address });
  try {
    const { workflow } = new Client({ connection, namespace });
    const args: [SweepInput] = [{ dryRun: false }];
    return await workflow.execute<(input: SweepInput) => Promise<SweepReport>>('sweep', {
      workflowId: `sweep-${randomUUID()}`,
      taskQueue: config.taskQueue,
      args,
    });
  } finally {
    await connection.close();
  }
}
