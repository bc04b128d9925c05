import { setTimeout as sleep } from 'node:timers/promises';

import type { Config } from '../../../src/config/config.ts';
import type { JobEvent } from '../../../src/contract/events.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import type { TemporalAddress } from '../../../src/dev/stack.ts';
import { startHosts, type Host, type Hosts } from '../../helpers/hosts.ts';
import { sandboxRemains } from '../../helpers/sandbox-remains.ts';
import { slowly } from '../../helpers/slow-turn.ts';
import { check, firstOf, type Case } from '../case.ts';

const JOB: JobSpecInput = {
  tenant: 'acme',
  agent: 'mock',
  model: 'gpt-5.1',
  budgetUsd: 1,
  deadline: '10m',
  onSandboxLoss: 'fail',
  prompts: [slowly(600)],
};
/** What a job of a host that is gone may be doing. */
const STANDING: Record<string, Partial<JobSpecInput>> = {
  'in mid-turn': {},
  'cancelled later': {},
  'setting up': { workspace: { setup: ['sleep 600'], setupTimeout: '9m' } },
  'waiting for a prompt': { prompts: ['!say one'], keepOpen: '9m' },
  'waiting for an answer': { prompts: ['!ask may I?'], permissions: 'ask', permissionTimeout: '9m' },
};
/** ms from the last sign of life of a host to the end of its jobs. */
const LOST_WITHIN_MS = 60_000;
/** ms: longer than a process takes that is there to be seen dead, shorter than a host to be gone. */
const AWAY_MS = 20_000;

/** Where the hosts are started. */
export interface HostsRig {
  stack: { temporal: TemporalAddress; config: Pick<Config, 'databaseUrl'> };
}

/** Hosts that go: one for good, one for the time of a restart, one whose worker hangs. */
export const HOSTS: readonly Case<HostsRig>[] = [
  {
    name: 'a host that does not come back: its jobs fail with sandbox_lost, whatever they do',
    isSlow: true,
    run: async (rig) =>
      onHosts(rig, async (hosts) => {
        const [gone, next] = [await started(hosts, 'pod-a'), await hosts.host('pod-b')];
        const jobIds = await standing(hosts);
        await gone.lose();
        const lostAtMs = Date.now();
        await Promise.all([next.gateway.start(), next.worker.start()]);
        await hosts.client.jobs.cancel(String(jobIds['cancelled later']));
        const wrongEnd = await wrongEndOf(hosts, jobIds, lostAtMs);
        const other = await hosts.client.jobs.submit({ ...JOB, prompts: ['!say hello'] });
        return firstOf(
          () => wrongEnd,
          async () =>
            check((await hosts.client.jobs.result(other.jobId)).outcome === 'completed', 'a new job does not complete on the other host'),
        );
      }),
  },
  {
    name: 'a host whose worker hangs: its jobs fail, and it ends their sandboxes when it goes on',
    isSlow: true,
    run: async (rig) =>
      onHosts(rig, async (hosts) => {
        const [hung, other] = [await started(hosts, 'hung'), await hosts.host('other')];
        const jobIds = await standing(hosts);
        hung.worker.signal('SIGSTOP');
        const lostAtMs = Date.now();
        await Promise.all([other.gateway.start(), other.worker.start()]);
        await hosts.client.jobs.cancel(String(jobIds['cancelled later']));
        const wrongEnd = await wrongEndOf(hosts, jobIds, lostAtMs);
        hung.worker.signal('SIGCONT');
        return firstOf(
          () => wrongEnd,
          async () => noRemains(hung, Object.values(jobIds)),
        );
      }),
  },
  {
    name: 'a host that returns under its name within half a minute keeps its jobs',
    isSlow: true,
    run: async (rig) =>
      onHosts(rig, async (hosts) => {
        const [host, other] = [await started(hosts, 'restarted'), await hosts.host('other')];
        const { jobId } = await hosts.client.jobs.submit({ ...JOB, prompts: [slowly(45)] });
        await emits(hosts, jobId, 'message');
        const waiting = await hosts.client.jobs.submit({ ...JOB, prompts: ['!say one'], keepOpen: '9m' });
        await phase(hosts, waiting.jobId, 'waiting');
        await host.worker.kill('SIGKILL');
        await Promise.all([other.gateway.start(), other.worker.start(), sleep(AWAY_MS)]);
        await host.worker.start();
        const { outcome, failure } = await hosts.client.jobs.result(jobId);
        await hosts.client.jobs.prompt(waiting.jobId, '!say two');
        await hosts.client.jobs.cancel(waiting.jobId);
        const second = await hosts.client.jobs.result(waiting.jobId);
        return firstOf(
          () => check(outcome === 'completed', `in mid-turn: ${outcome} ${failure?.code}`),
          () => check(second.outcome === 'cancelled' && !second.sandboxLost, `waiting: ${second.outcome} ${second.failure?.code}`),
          async () => noRemains(host, [jobId, waiting.jobId]),
        );
      }),
  },
  {
    name: 'a host that does not come back: a job between two turns continues on another, with its work',
    isSlow: true,
    run: async (rig) =>
      onHosts(rig, async (hosts) => {
        const [gone, next] = [await started(hosts, 'pod-a'), await hosts.host('pod-b')];
        const open = { ...JOB, keepOpen: '9m', onSandboxLoss: 'restore' } as const;
        const { jobId } = await hosts.client.jobs.submit({ ...open, prompts: ['!run echo heron > word'] });
        await phase(hosts, jobId, 'waiting');
        await gone.lose();
        await Promise.all([next.gateway.start(), next.worker.start()]);
        await hosts.client.jobs.prompt(jobId, '!run cat word word > words');
        while ((await hosts.client.jobs.status(jobId)).turn !== 2) await sleep(100);
        await phase(hosts, jobId, 'waiting');
        await hosts.client.jobs.cancel(jobId);
        const { turns, sandboxLost } = await hosts.client.jobs.result(jobId);
        const patch = String((await hosts.client.jobs.artifact(jobId, 'patch'))?.content);
        return firstOf(
          () => check(turns.length === 2 && !sandboxLost, `${turns.length} turns, sandbox lost ${sandboxLost}`),
          () => check(patch.includes('+heron\n+heron'), `the patch is ${patch}`),
        );
      }),
  },
  {
    name: 'a host that goes while a sandbox starts there: the job runs on another',
    isSlow: true,
    run: async (rig) =>
      onHosts(rig, async (hosts) => {
        const [gone, next] = [await started(hosts, 'pod-a'), await hosts.host('pod-b')];
        const { jobId } = await hosts.client.jobs.submit({ ...JOB, prompts: ['!say hello'] });
        while ((await sandboxRemains(gone, jobId)).length === 0) await sleep(5);
        await gone.lose();
        await Promise.all([next.gateway.start(), next.worker.start()]);
        const { outcome, failure } = await hosts.client.jobs.result(jobId);
        // It may have been there already: then it is lost with its host.
        return check(outcome === 'completed' || failure?.code === 'sandbox_lost', `${outcome} ${failure?.code}`);
      }),
  },
];

async function onHosts({ stack }: HostsRig, work: (hosts: Hosts) => Promise<string | null>): Promise<string | null> {
  const hosts = await startHosts(stack.temporal, String(stack.config.databaseUrl));
  try {
    return await work(hosts);
  } finally {
    await hosts.stop();
  }
}

async function started(hosts: Hosts, name: string): Promise<Host> {
  const host = await hosts.host(name);
  await Promise.all([host.gateway.start(), host.worker.start()]);
  return host;
}

/** A job for each thing that one may be doing, by what it is. */
async function standing(hosts: Hosts): Promise<Record<string, string>> {
  const jobIds: Record<string, string> = {};
  for (const [name, change] of Object.entries(STANDING)) {
    const { jobId } = await hosts.client.jobs.submit({ ...JOB, ...change });
    if (name.startsWith('waiting')) await phase(hosts, jobId, 'waiting');
    else await emits(hosts, jobId, name === 'setting up' ? 'setup.started' : 'message');
    jobIds[name] = jobId;
  }
  return jobIds;
}

async function emits({ client }: Hosts, jobId: string, wanted: JobEvent['type']): Promise<void> {
  for await (const { type } of client.jobs.events(jobId)) if (type === wanted) return;
}

async function phase({ client }: Hosts, jobId: string, wanted: string): Promise<void> {
  while ((await client.jobs.status(jobId)).phase !== wanted) await sleep(100);
}

/** What is wrong with how the jobs of a host that was lost ended; null where all ended in time, each for its reason. */
async function wrongEndOf({ client }: Hosts, jobIds: Record<string, string>, lostAtMs: number): Promise<string | null> {
  const late = sleep(lostAtMs + LOST_WITHIN_MS - Date.now(), null, { ref: false });
  const ends = Object.entries(jobIds).map(async ([name, jobId]) => {
    const result = await Promise.race([client.jobs.result(jobId), late]);
    if (result === null) return `${name}: it runs after ${LOST_WITHIN_MS / 1000} s`;
    const seconds = (Date.parse(result.endedAt) - lostAtMs) / 1000;
    const code = result.failure?.code;
    const isRight = result.sandboxLost && code === (name === 'cancelled later' ? 'cancelled' : 'sandbox_lost');
    return check(isRight && seconds * 1000 < LOST_WITHIN_MS, `${name}: ${code} after ${seconds} s, sandbox lost ${result.sandboxLost}`);
  });
  return (await Promise.all(ends)).find((wrong) => wrong !== null) ?? null;
}

async function noRemains(host: Host, jobIds: readonly string[]): Promise<string | null> {
  for (let tries = 0; tries < 300; tries += 1) {
    const remains = await Promise.all(jobIds.map(async (jobId) => sandboxRemains(host, jobId)));
    if (remains.flat().length === 0) return null;
    await sleep(100);
  }
  return 'a sandbox is left on its host';
}
