import { setTimeout as sleep } from 'node:timers/promises';

import { startHosts, type Host, type Hosts } from '../helpers/hosts.ts';
import { killSandboxes, sandboxRemains } from '../helpers/sandbox-remains.ts';
import { withLanes } from './lane.ts';
import { seeded } from './random.ts';
import { runSandboxJob, type SandboxJob } from './sandboxes/job.ts';
import { say } from './say.ts';

/** Jobs whose sandboxes, workers, gateways and hosts are killed or drained by chance, and that hibernate in between and at their questions. */
export interface SandboxesProof {
  jobs: number;
  /** Turns that ended, and prompts that were given to jobs which did not rightly fail. */
  prompts: number;
  promptsExpected: number;
  /** Turns that ended and whose work is not in the patch, or is in it twice. */
  lostWork: string[];
  /** What is left of sandboxes when all jobs have ended. */
  leftovers: string[];
  keysActiveWhileWaiting: number;
  complaints: string[];
  /** What was done to them. */
  kills: Record<Kill, number>;
  hibernations: number;
  seed: number;
}

export interface SandboxesOptions {
  seed: number;
  quick: boolean;
}

const KILLS = ['sandbox', 'worker', 'gateway', 'host', 'drain'] as const;
type Kill = (typeof KILLS)[number];
/** How often each is chosen. */
const CHANCES: Record<Kill, number> = { sandbox: 0.65, worker: 0.15, gateway: 0.1, host: 0.05, drain: 0.05 };

const JOBS = { quick: 20, whole: 200 };
const AT_ONCE = 6;
/** ms between two kills. */
const PAUSE_MS = { least: 500, most: 3_000 };
/** ms: longer than a host may be away without being given up. */
const AWAY_MS = 60_000;
/** A worker that is killed while it starts a sandbox leaves one that an inventory finds. */
const SWEEPS = { VALETKEY_SWEEP_INTERVAL: '2s', VALETKEY_INVENTORY_INTERVAL: '10s', VALETKEY_SWEEP_GRACE: '5s' };
/** ms until nothing is left. */
const QUIET_MS = 90_000;

export async function sandboxes({ seed, quick }: SandboxesOptions): Promise<SandboxesProof> {
  return withLanes(async (_open, parts) => {
    const hosts = await startHosts(parts.temporal, await parts.createDatabase('prove_sandboxes'), SWEEPS);
    try {
      const all = await Promise.all(['host-a', 'host-b'].map(async (name) => hosts.host(name)));
      for (const host of all) await restart(host);
      return await disturbed(hosts, all, seed, quick ? JOBS.quick : JOBS.whole);
    } finally {
      await hosts.stop();
    }
  });
}

export function holdsForSandboxes(proof: SandboxesProof): boolean {
  const { prompts, promptsExpected, lostWork, leftovers, keysActiveWhileWaiting, complaints } = proof;
  return (
    prompts === promptsExpected && keysActiveWhileWaiting === 0 && [lostWork, leftovers, complaints].every((list) => list.length === 0)
  );
}

async function disturbed(hosts: Hosts, all: readonly Host[], seed: number, count: number): Promise<SandboxesProof> {
  const random = seeded(seed);
  const running = new Set<string>();
  const ended: SandboxJob[] = [];
  const numbers = Array.from({ length: count }, (_, index) => index + 1).values();
  const lane = async (): Promise<void> => {
    for (const number of numbers) {
      const job = await runSandboxJob(hosts.client, { id: `job-${number}`, random, running });
      ended.push(job);
      for (const complaint of [...job.complaints, ...job.lostWork]) say(`  ${complaint}`);
      if (ended.length % 10 === 0) say(`${ended.length} jobs have ended`);
    }
  };
  const stop = new AbortController();
  const killing = killOften(all, running, random, stop.signal);
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  stop.abort();
  const kills = await killing;
  const sum = (of: (job: SandboxJob) => number): number => ended.reduce((total, job) => total + of(job), 0);
  return {
    jobs: ended.length,
    prompts: sum(({ prompts }) => prompts),
    promptsExpected: sum(({ promptsExpected }) => promptsExpected),
    lostWork: ended.flatMap(({ lostWork }) => lostWork),
    leftovers: await findLeftovers(
      all,
      ended.map(({ id }) => id),
    ),
    keysActiveWhileWaiting: sum(({ keysActiveWhileWaiting }) => keysActiveWhileWaiting),
    complaints: ended.flatMap(({ complaints }) => complaints),
    kills,
    hibernations: sum(({ hibernations }) => hibernations),
    seed,
  };
}

async function killOften(
  hosts: readonly Host[],
  running: ReadonlySet<string>,
  random: () => number,
  stop: AbortSignal,
): Promise<Record<Kill, number>> {
  const kills: Record<Kill, number> = { sandbox: 0, worker: 0, gateway: 0, host: 0, drain: 0 };
  const away = new Map<Host, Promise<void>>();
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];
  const strike = async (): Promise<void> => {
    const host = pick(hosts.filter((one) => !away.has(one)));
    if (host === undefined) return;
    const kill = chosen(random());
    if (kill === 'sandbox') {
      const job = pick([...running]);
      if (job === undefined || (await killSandboxes(host, job)) === 0) return;
    } else if (kill === 'host' || kill === 'drain') {
      // The other one goes on with its jobs.
      if (away.size > 0) return;
      const leave = async (): Promise<void> => {
        if (kill === 'drain') await host.drain();
        await host.lose();
        if (kill === 'host') await sleep(AWAY_MS, undefined, { signal: stop }).catch(() => {});
        await restart(host);
      };
      away.set(
        host,
        leave().finally(() => away.delete(host)),
      );
    } else {
      await host[kill].kill('SIGKILL');
      await host[kill].start();
    }
    kills[kill] += 1;
  };
  while (!stop.aborted) {
    await sleep(PAUSE_MS.least + random() * (PAUSE_MS.most - PAUSE_MS.least), undefined, { signal: stop }).catch(() => {});
    if (!stop.aborted) await strike();
  }
  await Promise.all(away.values());
  return kills;
}

async function restart({ gateway, worker }: Host): Promise<void> {
  await Promise.all([gateway.start(), worker.start()]);
}

function chosen(number: number): Kill {
  let rest = number;
  return KILLS.find((kill) => (rest -= CHANCES[kill]) < 0) ?? 'sandbox';
}

/** Waits until nothing is left of the sandboxes, and resolves to what is when the time is over. */
async function findLeftovers(hosts: readonly Host[], jobIds: readonly string[]): Promise<string[]> {
  const untilMs = Date.now() + QUIET_MS;
  for (;;) {
    const found = await Promise.all(hosts.flatMap((host) => jobIds.map(async (jobId) => sandboxRemains(host, jobId))));
    if (found.flat().length === 0 || Date.now() > untilMs) return found.flat();
    await sleep(1_000);
  }
}
