import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import { optionalTsToMs as tsToMs } from '@temporalio/common/lib/time.js';

import type { Stack } from '../../../src/dev/stack.ts';
import type { JobRecords } from '../../../src/keys/sweep/job-records.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import { createJobRecords } from '../../../src/temporal/job-records.ts';
import type { ExternalRig } from '../../gateways/rigs/rig.ts';
import { secretOf, statusWith } from '../../helpers/ended.ts';
import { sandboxRemains } from '../../helpers/sandbox-remains.ts';
import { doublesOf } from '../gateways/doubles.ts';
import { BOUND_MS, type CaseReport, type Cause } from './case.ts';

/** How long a job may take to its end, and what is left of it to go. */
const QUIET_MS = 120_000;

/** A stack whose jobs are looked at from outside: by Temporal's record, the gateway's own log, and requests with their keys. */
export interface Audited {
  stack: Stack;
  temporal: Client;
  jobs: JobRecords;
  database: Database;
  /** Mints the keys of the jobs, and its record is asked, too; null for the built-in gateway. */
  rig: ExternalRig | null;
  close(): Promise<void>;
}

export async function audited(stack: Stack, rig: ExternalRig | null = null): Promise<Audited> {
  const { address, namespace } = stack.temporal;
  const temporal = new Client({ connection: await Connection.connect({ address }), namespace });
  const database = openDatabase(String(stack.config.databaseUrl));
  return {
    stack,
    temporal,
    rig,
    jobs: createJobRecords(temporal, stack.config.taskQueue),
    database,
    close: async () => {
      await temporal.connection.close();
      await database.close();
    },
  };
}

export interface Audit {
  name: string;
  cause: Cause;
  /** From when on its keys should be dead, epoch ms; null: from the moment at which its workflow begins to end it. */
  fromMs: number | null;
}

/** Waits until a job is over and its time is up, and then says what became of its keys. */
export async function auditJob(audit: Audited, jobId: string, { name, cause, fromMs }: Audit): Promise<CaseReport> {
  const { stack, database } = audit;
  const complaints: string[] = [];
  const closedMs = await until(async () => closedAt(audit, jobId), QUIET_MS);
  if (closedMs === null) complaints.push('the job does not end');
  const endMs = (await beganToEnd(audit, jobId)) ?? closedMs ?? Date.now();
  // A job whose worker died goes on, and needs its key until its work is done.
  const dueMs = cause === 'worker_killed' ? Math.max(fromMs ?? 0, endMs) : (fromMs ?? endMs);
  const refs = (await database.db.selectFrom('keys').select('ref').where('job_id', '=', jobId).execute()).map(({ ref }) => ref);

  const refused = async (): Promise<true | null> => {
    const states = await Promise.all(refs.map(async (ref) => statusWith(stack, secretOf(stack, ref))));
    return states.every((status) => status === 401) ? true : null;
  };
  const isRefused = await until(refused, Math.max(0, dueMs + BOUND_MS[cause] - Date.now()));
  if (isRefused === null) complaints.push('a key of it is accepted when its time is up');
  const isOver = await until(async () => ((await open(database, jobId)) === 0 ? true : null), QUIET_MS);
  if (isOver === null) complaints.push('the ledger does not take its keys for ended');
  const remains = await until(async () => ((await sandboxRemains(stack, jobId)).length === 0 ? true : null), QUIET_MS);
  if (remains === null) complaints.push('its sandbox is there');

  const keys = await database.db.selectFrom('keys').selectAll().where('job_id', '=', jobId).execute();
  const requests = await database.db
    .selectFrom('requests')
    .selectAll()
    .where('ref', 'in', [...refs, ''])
    .execute();
  // A job that ends by itself ends after its key; one that is ended from outside has until its time is up.
  const lastUseMs = cause === 'terminated' ? dueMs + BOUND_MS.terminated : (closedMs ?? Infinity);
  const late = requests.filter(({ started_at, status }) => started_at.getTime() > lastUseMs && status === 200);
  if (late.length > 0) complaints.push(`${late.length} requests were accepted after its end`);
  const spent = sum(keys.map(({ spent_usd }) => spent_usd));
  const records = (await audit.rig?.keysOf(jobId)) ?? null;
  const charged = records === null ? sum(requests.map(({ usd }) => usd)) : sum(records.map(({ usd }) => String(usd)));
  const accepted = (records ?? []).filter(({ isAccepted }) => isAccepted).length;
  if (accepted > 0) complaints.push(`its gateway accepts ${accepted} keys of it`);
  const left = await until(
    async () => ((await audit.rig?.keysOf(jobId))?.some(({ isListed }) => isListed) === true ? null : true),
    QUIET_MS,
  );
  if (left === null) complaints.push('its gateway still has a key of it');
  if (spent !== charged) complaints.push(`the ledger has ${spent} USD, the gateway ${charged}`);
  const settlement = await database.db.selectFrom('settlements').select('usd').where('job_id', '=', jobId).executeTakeFirst();
  if (settlement !== undefined && Number(settlement.usd) !== spent) complaints.push(`settled to ${settlement.usd} USD, spent ${spent}`);
  const minted = keys.filter(({ minted_at }) => minted_at !== null);
  const lastDeadMs = Math.max(...minted.filter((key) => key.cause !== 'rotated').map(({ revoked_at }) => revoked_at?.getTime() ?? 0));
  const gone = cause === 'terminated' || cause === 'all_down';
  return {
    name,
    cause,
    orphans: (isRefused === null ? 1 : 0) + late.length + accepted,
    doubles: minted.length - new Set(minted.map(({ ref }) => ref.slice(ref.indexOf('/')))).size + doublesOf(records ?? []),
    sweptLive: gone ? 0 : keys.filter((key) => key.cause === 'swept' || key.cause === 'terminated').length,
    secondsToDead: minted.length === 0 ? null : Math.max(0, lastDeadMs - dueMs) / 1000,
    complaints: complaints.map((complaint) => `${name}: ${complaint}`),
  };
}

async function closedAt({ jobs, temporal }: Audited, jobId: string): Promise<number | null> {
  if ((await jobs.describe(jobId))?.state !== 'closed') return null;
  const { closeTime } = await temporal.workflow.getHandle(jobId).describe();
  return closeTime?.getTime() ?? null;
}

/** When the workflow asked for the end of its last key. */
async function beganToEnd({ temporal }: Audited, jobId: string): Promise<number | null> {
  const { events } = await temporal.workflow.getHandle(jobId).fetchHistory();
  const asked = (events ?? []).findLast((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'revokeKey');
  return asked === undefined ? null : (tsToMs(asked.eventTime) ?? null);
}

async function open({ db }: Database, jobId: string): Promise<number> {
  const rows = await db.selectFrom('keys').select('ref').where('job_id', '=', jobId).where('ended_at', 'is', null).execute();
  return rows.length;
}

/** Exact to the scale of the store. */
function sum(amounts: readonly string[]): number {
  return Math.round(amounts.reduce((total, usd) => total + Number(usd) * 1e12, 0)) / 1e12;
}

/** What `look` finds within so many ms; it looks once at least. Null: nothing. */
export async function until<T>(look: () => Promise<T | null>, ms: number): Promise<T | null> {
  const giveUpMs = Date.now() + ms;
  for (;;) {
    const found = await look().catch(() => null);
    if (found !== null) return found;
    if (Date.now() > giveUpMs) return null;
    await sleep(50);
  }
}
