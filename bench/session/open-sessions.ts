import { readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';

import { withLanes, type Lane } from '../../test/proofs/lane.ts';
import { family } from '../memory.ts';
import { say } from '../report.ts';

const WANTED = 200;
const STEP = 20;
/** For the next of them to be open, and for all of them to end. */
const PATIENCE_MS = 240_000;
const MEASURED_MS = 60_000;
/** Clock ticks a second in /proc: USER_HZ of Linux. */
const TICKS = 100;
/** Share of the memory that is free at the start which the sessions may take. */
const MAX_SHARE = 0.7;
/** Sessions whose heartbeats are watched. */
const WATCHED = 5;

/** So many turns that run at once on one worker, their agents silent. */
export interface OpenSessions {
  open: number;
  wanted: number;
  /** What kept more from being open; null: nothing did. */
  limit: string | null;
  workerCpuSecondsPerMinute: number;
  workerPssMb: number;
  sandboxPssMb: number;
  /** Of all of them. */
  heartbeatActionsPerHour: number;
  /** From the cancel of all of them at once until the last job has ended. */
  secondsToEnd: number;
}

export async function openSessions(): Promise<OpenSessions> {
  return withLanes(async (open) => {
    const lane = await open('bench');
    const jobIds: string[] = [];
    const figures = await measure(lane, jobIds);
    return { ...figures, secondsToEnd: await endAll(lane, jobIds) };
  });
}

async function measure(lane: Lane, jobIds: string[]): Promise<Omit<OpenSessions, 'secondsToEnd'>> {
  const { open, limit } = await openAll(lane, jobIds);
  say(`${open} sessions are open, measuring for ${MEASURED_MS / 1000} s`);
  const beforeS = await cpuSeconds(lane.workers.pid);
  const beatsPerHour = await heartbeats(lane, jobIds);
  const cpu = (await cpuSeconds(lane.workers.pid)) - beforeS;
  const processes = await family(lane.workers.pid);
  const pss = (own: boolean): number => processes.reduce((sum, { name, pss: mb }) => sum + ((name === 'valetkey') === own ? mb : 0), 0);
  return {
    open,
    wanted: WANTED,
    limit,
    workerCpuSecondsPerMinute: cpu / (MEASURED_MS / 60_000),
    workerPssMb: pss(true),
    sandboxPssMb: pss(false) / open,
    heartbeatActionsPerHour: beatsPerHour * open,
  };
}

/** Seconds. */
async function endAll({ client }: Lane, jobIds: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  await Promise.all(jobIds.map(async (jobId) => client.jobs.cancel(jobId)));
  const ended = Promise.all(jobIds.map(async (jobId) => client.jobs.result(jobId))).then(() => (performance.now() - startedMs) / 1000);
  const late = sleep(PATIENCE_MS, null, { ref: false });
  const seconds = await Promise.race([ended, late]);
  if (seconds === null) throw new Error(`${jobIds.length} cancelled jobs did not end within ${PATIENCE_MS / 1000} s`);
  return seconds;
}

/** Opens them in steps, as many as there is memory for and the worker takes. */
async function openAll({ client, database }: Lane, jobIds: string[]): Promise<{ open: number; limit: string | null }> {
  const freeMb = freemem() / 1024 / 1024;
  const opened = async (): Promise<number> => {
    const { count } = await database.db
      .selectFrom('events')
      .select(({ fn }) => fn.countAll<string>().as('count'))
      .where('type', '=', 'turn.started')
      .executeTakeFirstOrThrow();
    return Number(count);
  };
  while (jobIds.length < WANTED) {
    const wanted = jobIds.length + STEP;
    for (let number = jobIds.length + 1; number <= wanted; number += 1) {
      const prompts = ['!hang'];
      const job = {
        tenant: 'bench',
        agent: 'mock',
        model: 'gpt-5.1-codex',
        prompts,
        budgetUsd: 1,
        deadline: '1h',
        stallAfter: '1h',
      } as const;
      jobIds.push((await client.jobs.submit(job, { id: `open-${number}` })).jobId);
    }
    const giveUpAtMs = Date.now() + PATIENCE_MS;
    let before = 0;
    for (let quietMs = 0; (await opened()) < wanted && quietMs < 30_000 && Date.now() < giveUpAtMs; quietMs += 500) {
      const now = await opened();
      if (now > before) quietMs = 0;
      before = now;
      await sleep(500);
    }
    const open = await opened();
    const usedMb = freeMb - freemem() / 1024 / 1024;
    say(`${open} of ${wanted} sessions open, ${usedMb.toFixed(0)} MB used`);
    if (open < wanted) return { open, limit: 'the worker takes no more steps at once' };
    if (usedMb * ((open + STEP) / open) > freeMb * MAX_SHARE) return { open, limit: 'memory' };
  }
  return { open: WANTED, limit: null };
}

/** Resolves to the heartbeats of one session in an hour that got to Temporal, over the measured time. */
async function heartbeats({ temporal: { address, namespace } }: Lane, jobIds: readonly string[]): Promise<number> {
  const connection = await Connection.connect({ address });
  const { workflow } = new Client({ connection, namespace });
  const seen = new Set<string>();
  const endsAtMs = Date.now() + MEASURED_MS;
  const watched = jobIds.slice(0, WATCHED);
  while (Date.now() < endsAtMs) {
    for (const jobId of watched) {
      const { raw } = await workflow.getHandle(jobId).describe();
      for (const { lastHeartbeatTime: at } of raw.pendingActivities ?? []) seen.add(`${jobId} ${String(at?.seconds)}.${String(at?.nanos)}`);
    }
    await sleep(250);
  }
  await connection.close();
  return (seen.size / watched.length) * (3_600_000 / MEASURED_MS);
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}
