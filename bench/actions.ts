import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';

import type { JobSpecInput } from '../src/contract/spec-input.ts';
import { secretOf, statusWith } from '../test/helpers/ended.ts';
import { slowly } from '../test/helpers/slow-turn.ts';
import { withLanes, type Lane } from '../test/proofs/lane.ts';
import { actionsOf, actionsOfScheduled } from './actions/billed.ts';
import { percentile } from './percentile.ts';
import { say, type BenchReport } from './report.ts';

const HOUR_MS = 3_600_000;
/** ms of a turn in which its heartbeats are counted. */
const SAMPLE_MS = 150_000;
const CANCELS = 10;
const TERMINATES = 6;
const KILLS = 3;
/** As an installation has them that sets nothing. */
const ENVIRONMENT = { VALETKEY_SWEEP_INTERVAL: '5s', VALETKEY_INVENTORY_INTERVAL: '5m' };
const JOB: JobSpecInput = { tenant: 'bench', agent: 'mock', model: 'gpt-5.1', budgetUsd: 5, deadline: '1h', prompts: [slowly(600)] };

/**
 * What an installation costs in billed actions of Temporal, and what it is slow to notice for that. Actions are counted on a real server, by
 * the rules that `billed.ts` names. A session-hour is one job with one turn of an hour: all in the history of a job that was cancelled,
 * its start, and the heartbeats that reached the server (the times of the last one, as it tells them) between the first and the last of two and
 * a half minutes, scaled to the hour. An idle hour: each schedule is run once, its actions are counted and scaled by its interval; other workflows
 * that start by themselves meanwhile are counted as they come. A cancel counts until the provider sees the agent hang up, a terminate until the gateway
 * refuses the key (half of the jobs in mid-turn, half waiting), a kill until the next event of the turn is stored by the next worker.
 */
export async function actions(): Promise<BenchReport> {
  return withLanes(async (open) => {
    const lane = await open('bench', { environment: ENVIRONMENT });
    const connection = await Connection.connect({ address: lane.temporal.address });
    const temporal = new Client({ connection, namespace: lane.temporal.namespace });
    const beganMs = Date.now();
    const perSessionHour = await sessionHour(lane, temporal);
    say(`a session-hour: ${perSessionHour.toFixed(0)} actions`);
    const cancelMs = await repeated('a cancel', CANCELS, async () => cancel(lane));
    const terminateMs = await repeated('a terminate', TERMINATES, async (index) => terminate(lane, temporal, index % 2 === 0));
    const resumeMs = await repeated('a kill', KILLS, async () => resume(lane));
    const idlePerHour = await idleHour(lane, temporal, Date.now() - beganMs);
    await connection.close();
    const figures = { cancelMs, terminateToRevokedMs: terminateMs, resumeAfterKillMs: resumeMs };
    return {
      json: {
        perSessionHour,
        idlePerHour,
        ...Object.fromEntries(Object.entries(figures).map(([name, samples]) => [name, { p50: percentile(samples, 50) }])),
      },
      table: [
        ['', 'p50', 'worst'],
        ['actions of a session-hour', perSessionHour.toFixed(0), ''],
        ['actions of an idle hour', idlePerHour.toFixed(0), ''],
        ...Object.entries(figures).map(([name, samples]) => [name, percentile(samples, 50).toFixed(0), Math.max(...samples).toFixed(0)]),
      ],
    };
  });
}

async function sessionHour(lane: Lane, temporal: Client): Promise<number> {
  const jobId = await inMidTurn(lane);
  const handle = temporal.workflow.getHandle(jobId);
  const beats: number[] = [];
  const untilMs = Date.now() + SAMPLE_MS;
  while (Date.now() < untilMs) {
    const { raw } = await handle.describe();
    const { seconds, nanos } = raw.pendingActivities?.[0]?.lastHeartbeatTime ?? {};
    const atMs = Number(seconds ?? 0) * 1000 + (nanos ?? 0) / 1e6;
    if (atMs > 0 && atMs !== beats.at(-1)) beats.push(atMs);
    await sleep(500);
  }
  await lane.client.jobs.cancel(jobId);
  await lane.client.jobs.result(jobId);
  const everyMs = ((beats.at(-1) ?? 0) - (beats[0] ?? 0)) / (beats.length - 1);
  say(`${beats.length} heartbeats, one in ${(everyMs / 1000).toFixed(1)} s`);
  return 1 + (await actionsOf(temporal, jobId)) + HOUR_MS / everyMs;
}

async function idleHour(lane: Lane, temporal: Client, passedMs: number): Promise<number> {
  const scheduled = await lane.client.schedules.list();
  let perHour = 0;
  for (const { id } of scheduled) {
    const handle = temporal.schedule.getHandle(id);
    const { spec } = await handle.describe();
    await handle.trigger('SKIP');
    const workflowId = await lastRun(lane, id);
    const everyMs = Number(spec.intervals?.[0]?.every);
    const actionsOfRun = await actionsOfScheduled(temporal, workflowId);
    say(`${id}: ${actionsOfRun} actions in ${everyMs / 1000} s`);
    perHour += (actionsOfRun * HOUR_MS) / everyMs;
  }
  let others = 0;
  for await (const { workflowId, type } of temporal.workflow.list({ query: `TaskQueue = '${lane.config.taskQueue}'` })) {
    const isScheduled = scheduled.some(({ id }) => workflowId.startsWith(id));
    if (type !== 'sandboxJob' && !isScheduled) others += 1 + (await actionsOf(temporal, workflowId));
  }
  return perHour + (others * HOUR_MS) / passedMs;
}

/** Id of the newest run of a schedule, once it has ended. */
async function lastRun({ client }: Lane, id: string): Promise<string> {
  for (;;) {
    const run = (await client.schedules.list()).find((schedule) => schedule.id === id)?.lastRun;
    if (run?.state === 'completed') return run.workflowId;
    await sleep(200);
  }
}

/** ms until the provider sees that the agent hung up. */
async function cancel(lane: Lane): Promise<number> {
  const jobId = await inMidTurn(lane);
  const fromMs = performance.now();
  await lane.client.jobs.cancel(jobId);
  while (lane.model.inFlight() > 0) await sleep(5);
  const ms = performance.now() - fromMs;
  await lane.client.jobs.result(jobId);
  return ms;
}

/** ms until the gateway refuses the key. */
async function terminate(lane: Lane, temporal: Client, isInTurn: boolean): Promise<number> {
  const jobId = await (isInTurn ? inMidTurn(lane) : waiting(lane));
  const [key] = (await lane.client.jobs.status(jobId)).keys;
  if (key === undefined) throw new Error(`${jobId} has no key`);
  const secret = secretOf(lane, key.ref);
  const fromMs = performance.now();
  await temporal.workflow.getHandle(jobId).terminate();
  while ((await statusWith(lane, secret)) !== 401) await sleep(20);
  return performance.now() - fromMs;
}

/** ms until the turn's next event is stored. */
async function resume(lane: Lane): Promise<number> {
  const jobId = await inMidTurn(lane);
  await lane.workers.ready();
  lane.workers.kill('SIGKILL');
  const fromMs = performance.now();
  let after = 0;
  for await (const { seq } of lane.client.jobs.events(jobId, { follow: false })) after = seq;
  for await (const { type } of lane.client.jobs.events(jobId, { after })) if (type === 'message') break;
  const ms = performance.now() - fromMs;
  await lane.client.jobs.cancel(jobId);
  await lane.client.jobs.result(jobId);
  return ms;
}

async function inMidTurn({ client }: Lane): Promise<string> {
  const { jobId } = await client.jobs.submit(JOB);
  for await (const { type } of client.jobs.events(jobId)) if (type === 'message') break;
  return jobId;
}

async function waiting({ client }: Lane): Promise<string> {
  const { jobId } = await client.jobs.submit({ ...JOB, prompts: ['!say one'], keepOpen: '10m' });
  while ((await client.jobs.status(jobId)).phase !== 'waiting') await sleep(50);
  return jobId;
}

async function repeated(name: string, times: number, measure: (index: number) => Promise<number>): Promise<number[]> {
  const samples: number[] = [];
  for (let index = 0; index < times; index += 1) samples.push(await measure(index));
  say(`${name}: ${samples.map((ms) => ms.toFixed(0)).join(' ')} ms`);
  return samples;
}
