import { startPostgres } from '../../src/dev/postgres.ts';
import type { Gateway } from './proxy/gateway.ts';
import { startRig, type Rig } from './proxy/rig.ts';
import { seeded } from './random.ts';
import { say } from './say.ts';
import { startBillingProvider, type BillingProvider } from './spend/provider.ts';
import { DRIFT_USD, runRow, type SpendRow } from './spend/row.ts';
import { DRAIN_TIMEOUT_S, isQuick, WAYS, type Way } from './spend/ways.ts';

/** What the provider billed and what the gateways recorded, by way, callers at once and replicas. */
export interface SpendProof {
  rows: SpendRow[];
}

export interface SpendProofOptions {
  seed: number;
  /** Eight callers and one replica, and no proxy is killed. */
  quick: boolean;
  /** Ways whose name holds this. */
  only?: string | undefined;
}

const QUICK_PARALLEL = 8;
const PARALLEL = [1, 8, 50];
const REPLICAS = [1, 3];

/**
 * Tries to spend more than a budget, and to spend without being recorded, behind a provider that keeps its own ledger. One row after
 * another: rows at once would disturb each other's gateways. The ways that kill a gateway or block Postgres take up to half a minute a
 * row, so they run with eight callers only.
 */
export async function spend({ seed, quick, only = '' }: SpendProofOptions): Promise<SpendProof> {
  const postgres = await startPostgres();
  try {
    const rig = await startRig(postgres.url);
    try {
      const ways = WAYS.filter(({ name }) => name.includes(only));
      return { rows: await runRows(rig, ways, seed, quick) };
    } finally {
      await rig.close();
    }
  } finally {
    await postgres.stop();
  }
}

/** Runs the rows of these ways on a rig, whose own gateway and provider are not used. */
export async function runRows(rig: Rig, ways: readonly Way[], seed: number, quick: boolean): Promise<SpendRow[]> {
  const provider = await startBillingProvider();
  const random = seeded(seed);
  const rows: SpendRow[] = [];
  const plans = ways.flatMap((way) => parallelsOf(way, quick).map((parallel) => ({ way, parallel })));
  try {
    // It would charge what a killed replica leaves, and so do the work of the replicas of a row.
    await rig.gateway.stop();
    for (const count of quick ? [1] : REPLICAS) {
      const startReplica = async (): Promise<Gateway> => startOn(rig, provider);
      const replicas = await Promise.all(Array.from({ length: count }, startReplica));
      for (const { way, parallel } of plans) {
        const row = await runRow({ rig, provider, way, parallel, replicas, startReplica, random });
        rows.push(row);
        report(row);
      }
      await rig.stopOwn();
    }
    return rows;
  } finally {
    await provider.close();
  }
}

/** Whether each dollar was recorded, and no budget was exceeded by more than a request a replica. */
export function holdsForSpend({ rows }: SpendProof): boolean {
  return rows.length > 0 && rows.every((row) => failuresOf(row).length === 0);
}

/** What does not hold of a row. */
export function failuresOf(row: SpendRow): string[] {
  const { way, billedUsd, recordedUsd, overBudgetBy, requestUsd, replicas, served, openRows, problems } = row;
  return [
    ...(recordedUsd >= billedUsd - DRIFT_USD ? [] : [`$${billedUsd} was billed and $${recordedUsd} recorded`]),
    ...(overBudgetBy <= requestUsd * replicas + DRIFT_USD ? [] : [`the budget is exceeded by $${overBudgetBy}`]),
    ...(way !== 'control' || Math.abs(recordedUsd - billedUsd) <= DRIFT_USD ? [] : ['the record is not exact']),
    ...(way !== 'control' || served > 0 ? [] : ['nothing was served']),
    ...(openRows === 0 ? [] : [`${openRows} requests are still open`]),
    ...problems,
  ];
}

function parallelsOf(way: Way, quick: boolean): number[] {
  if (quick) return isQuick(way) ? [QUICK_PARALLEL] : [];
  return way.disturbance === undefined ? PARALLEL : [QUICK_PARALLEL];
}

async function startOn(rig: Rig, { url }: BillingProvider): Promise<Gateway> {
  return rig.startOwn({
    env: {
      VALETKEY_ANTHROPIC_BASE_URL: url,
      VALETKEY_OPENAI_BASE_URL: url,
      VALETKEY_GATEWAY_DRAIN_TIMEOUT: `${DRAIN_TIMEOUT_S}s`,
    },
  });
}

function report(row: SpendRow): void {
  const { way, parallel, replicas, billedUsd, recordedUsd, overBudgetBy } = row;
  const failures = failuresOf(row);
  const held = failures.length === 0 ? 'holds' : `does not hold: ${failures.join('; ')}`;
  say(
    `${way} × ${parallel} × ${replicas}: billed $${billedUsd.toFixed(6)}, recorded $${recordedUsd.toFixed(6)}, over $${overBudgetBy.toFixed(6)}, ${held}`,
  );
}
