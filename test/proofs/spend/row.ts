import { setTimeout as sleep } from 'node:timers/promises';

import type { Key, Rig, Row as RequestRow } from '../proxy/rig.ts';
import { runCallers, type CallersOptions } from './callers.ts';

/** A proxy that was killed is noticed by its heartbeat. */
const SETTLED_MS = 40_000;
/** A request whose caller left at once can come to the provider a moment later. */
const LATE_START_MS = 150;
/** Sums of binary fractions drift. */
export const DRIFT_USD = 1e-9;

/** What a way came to, with so many callers at once and so many gateways. */
export interface SpendRow {
  way: string;
  /** Callers at once, of one job. */
  parallel: number;
  /** Gateways over one database. */
  replicas: number;
  /** By the provider's own ledger. */
  billedUsd: number;
  /** What the job's key has spent, once no request of it is open. */
  recordedUsd: number;
  /** By how much the bill exceeds the job's budget. */
  overBudgetBy: number;
  /** Requests that the provider started. */
  served: number;
  /** The dearest request that the provider billed. */
  requestUsd: number;
  /** Requests that are still on record as open, after all that could end them. */
  openRows: number;
  /** What else did not hold. */
  problems: string[];
}

/** Has callers spend on one job, in one way, and compares the provider's bill with the record. */
export async function runRow(options: Omit<CallersOptions, 'key'>): Promise<SpendRow> {
  const { rig, provider, way, parallel, replicas } = options;
  provider.clear();
  const key = await rig.mint({ budgetUsd: way.budgetUsd });
  const problems = await runCallers({ ...options, key });
  await sleep(LATE_START_MS);
  const rows = await rig.rows(key, SETTLED_MS);
  const bills = [...provider.ledger.values()];
  const billedUsd = bills.reduce((sum, usd) => sum + usd, 0);
  return {
    way: way.name,
    parallel,
    replicas: replicas.length,
    billedUsd,
    recordedUsd: await spentUsd(rig, key),
    overBudgetBy: Math.max(0, billedUsd - way.budgetUsd),
    served: bills.length,
    requestUsd: Math.max(0, ...bills),
    openRows: rows.filter((row) => row.is_open).length,
    problems: [
      ...problems,
      ...provider.problems.splice(0),
      ...rig.crashes.splice(0),
      ...belowBill(bills, rows),
      ...(way.name === 'huge-usage' ? belowReservation(rows) : []),
      ...(way.name.startsWith('usage-missing') ? notEstimated(rows) : []),
    ],
  };
}

/**
 * The dearest on record against the dearest bill, and so on: where each request is recorded with its bill at least, this holds too, and
 * a reservation that is charged for one does not hide what another lacks.
 */
function belowBill(bills: readonly number[], rows: readonly RequestRow[]): string[] {
  const recorded = rows.map(({ usd }) => usd).toSorted((a, b) => b - a);
  const lacking = bills.toSorted((a, b) => b - a).filter((usd, rank) => (recorded[rank] ?? 0) < usd - DRIFT_USD);
  return lacking.length === 0 ? [] : [`a request is recorded with less than its bill, of at most $${lacking[0]}`];
}

function notEstimated(rows: readonly RequestRow[]): string[] {
  const wrong = rows.filter(({ status, estimated }) => status === 200 && !estimated);
  return wrong.length === 0 ? [] : [`${wrong.length} answers without a usage are charged as if they had one: ${JSON.stringify(wrong[0])}`];
}

function belowReservation(rows: readonly RequestRow[]): string[] {
  return rows
    .filter(({ status, usd, reserved_usd, implausible }) => status === 200 && (usd < reserved_usd || !implausible))
    .map((row) => `an answer that cannot be true is not charged its reservation: ${JSON.stringify(row)}`);
}

async function spentUsd({ database }: Rig, { jobId }: Key): Promise<number> {
  const text = 'select coalesce(sum(spent_usd), 0)::float8 as usd from keys where job_id = $1';
  const { rows } = await database.pool.query<{ usd: number }>(text, [jobId]);
  return rows[0]?.usd ?? 0;
}
