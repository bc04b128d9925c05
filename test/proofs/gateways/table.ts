import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import pMap from 'p-map';

import type { JobResult } from '../../../src/contract/result.ts';
import type { Stack } from '../../../src/dev/stack.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import type { ExternalRig } from '../../gateways/rigs/rig.ts';
import { jobSpec } from '../../helpers/stack.ts';
import { sweepOnce } from '../../promises/no-key-outlives-its-job/fault-table.ts';
import { until } from '../keys/audit.ts';
import type { CaseReport } from '../keys/case.ts';
import type { GatewayCase } from './cases.ts';
import { doublesOf } from './doubles.ts';

/** Jobs that run at once. */
const AT_ONCE = 8;
const SWEEP_PAUSE_MS = 2_000;
/** For the sweep to find what is left: two looks with a grace between, and a late mint before. */
const QUIET_MS = 90_000;

/**
 * Runs a job of the agent `mock` under each fault of a gateway of a third party, with the sweep beside them, and then asks the records of the
 * gateway and the ledger. The stack's sweep has a grace of a second.
 */
export async function runGatewayTable(stack: Stack, rig: ExternalRig, cases: readonly GatewayCase[]): Promise<CaseReport[]> {
  const over = new AbortController();
  const sweeping = sweepUntil(stack, over.signal);
  const database = openDatabase(String(stack.config.databaseUrl));
  const ended: EndedCase[] = [];
  const queue = cases.filter(({ isOfAll }) => !isOfAll);
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) ended.push(await runCase(stack, rig, next));
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    for (const one of cases.filter(({ isOfAll }) => isOfAll)) ended.push(await runCase(stack, rig, one));
    return await pMap(ended, async (one) => report(database, rig, one), { concurrency: AT_ONCE });
  } finally {
    over.abort();
    await sweeping;
    await database.close();
  }
}

interface EndedCase extends GatewayCase {
  jobId: string;
  result: JobResult;
  /** Keys that the gateway accepted when the job had ended. */
  atEnd: number;
}

async function runCase({ client }: Stack, rig: ExternalRig, one: GatewayCase): Promise<EndedCase> {
  const jobId = `fault-${randomUUID()}`;
  const lift = rig.faults.arm(one.call, one.fault, { jobId: one.isOfAll ? null : jobId, times: one.times });
  const [model = ''] = rig.models.openai;
  const credential = { strategy: 'gateway', gateway: rig.gateway } as const;
  // A tenant of its own: what a gateway keeps for each tenant is made anew.
  const spec = jobSpec({ agent: 'mock', model, credential, budgetUsd: 5, tenant: `t-${randomUUID().slice(0, 8)}` });
  await client.jobs.submit(spec, { id: jobId });
  const result = await client.jobs.result(jobId);
  if (one.isOfAll) lift();
  const atEnd = (await rig.keysOf(jobId)).filter(({ isAccepted, wasHandedOut }) => isAccepted && wasHandedOut).length;
  return { ...one, jobId, result, atEnd };
}

async function report(
  database: Database,
  rig: ExternalRig,
  { name, call, jobId, result, ends, fault, isOfAll, atEnd }: EndedCase,
): Promise<CaseReport> {
  const isGone = await until(async () => ((await rig.keysOf(jobId)).every(({ isListed }) => !isListed) ? true : null), QUIET_MS);
  const records = await rig.keysOf(jobId);
  const accepted = records.filter(({ isAccepted }) => isAccepted).length;
  const how = result.failure?.code ?? result.outcome;
  const usd = records.reduce((sum, key) => sum + key.usd, 0);
  const befell = rig.recorded.some((made) => made.call === call && made.fault === fault && (isOfAll || made.jobId === jobId));
  const rows = await rowsOf(database, jobId);
  const complaints = [
    ...(isGone === true ? [] : ['the gateway still has a key of it']),
    ...(accepted === 0 ? [] : [`the gateway accepts ${accepted} keys of it`]),
    ...(atEnd === 0 ? [] : [`the gateway accepted ${atEnd} keys of it when it had ended`]),
    ...(ends.some((end) => end === how) ? [] : [`it ended with ${how}: ${result.failure?.message}`]),
    ...(Math.abs(usd - result.usage.usd) < 1e-9 ? [] : [`the gateway has USD ${usd}, the settlement ${result.usage.usd}`]),
    ...(befell ? [] : ['the fault did not befall it']),
    ...(rows.open === 0 ? [] : [`the ledger has ${rows.open} keys of it that have not ended`]),
  ];
  return {
    name,
    cause: 'fault',
    orphans: accepted + atEnd,
    doubles: doublesOf(records),
    sweptLive: rows.sweptLive,
    secondsToDead: rows.seconds,
    complaints: complaints.map((complaint) => `${name}: ${complaint}`),
  };
}

/** What the ledger has of the keys of a job: those whose end is not over, and the longest time from the begin of an end to a refusal. */
async function rowsOf({ db }: Database, jobId: string): Promise<{ open: number; sweptLive: number; seconds: number | null }> {
  const rows = await db.selectFrom('keys').selectAll().where('job_id', '=', jobId).execute();
  const settled = await db.selectFrom('settlements').select('settled_at').where('job_id', '=', jobId).executeTakeFirst();
  const settledMs = settled?.settled_at.getTime() ?? Infinity;
  const times = rows.flatMap(({ ending_at: begun, revoked_at: refused }) =>
    begun === null || refused === null ? [] : [(refused.getTime() - begun.getTime()) / 1000],
  );
  return {
    open: rows.filter((row) => row.ended_at === null).length,
    sweptLive: rows.filter(({ cause, ending_at: begun }) => cause === 'swept' && begun !== null && begun.getTime() < settledMs).length,
    seconds: times.length === 0 ? null : Math.max(...times),
  };
}

async function sweepUntil(stack: Stack, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await sweepOnce(stack);
    await sleep(SWEEP_PAUSE_MS, undefined, { signal: over }).catch(() => {});
  }
}
