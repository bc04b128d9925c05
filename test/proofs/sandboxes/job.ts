import { setTimeout as sleep } from 'node:timers/promises';

import type { ValetkeyClient } from '../../../src/client/client.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';

/** What became of one job. */
export interface SandboxJob {
  id: string;
  prompts: number;
  promptsExpected: number;
  lostWork: string[];
  keysActiveWhileWaiting: number;
  hibernations: number;
  complaints: string[];
}

export interface SandboxJobOptions {
  id: string;
  random: () => number;
  /** Holds the ids of the jobs that run. */
  running: Set<string>;
}

const SPEC: Omit<JobSpecInput, 'prompts'> = {
  tenant: 'acme',
  agent: 'mock',
  model: 'gpt-5.1',
  budgetUsd: 50,
  deadline: '30m',
  keepOpen: '20m',
};
const MAX_TURNS = 4;
const POLL_MS = 100;
const MAX_PAUSE_MS = 3_000;

/** A prompt whose work is one line of a file, and which takes a second. */
const promptOf = (turn: number): string => `!run echo turn-${turn}. >> log\n!chunks 10 100`;

/** Runs a job of some turns with pauses between them, in which it may hibernate, and then cancels it. */
export async function runSandboxJob(client: ValetkeyClient, { id, random, running }: SandboxJobOptions): Promise<SandboxJob> {
  const repeats = random() < 0.5;
  const policy = { onInterrupted: repeats ? 'continue' : 'fail', hibernateAfter: random() < 0.5 ? '1s' : '5m' } as const;
  const turns = 2 + Math.floor(random() * (MAX_TURNS - 1));
  let [given, hibernations, keysActiveWhileWaiting] = [1, 0, 0];
  await client.jobs.submit({ ...SPEC, ...policy, prompts: [promptOf(1)] }, { id });
  running.add(id);
  for (;;) {
    const phase = await whenWaiting(client, id, given);
    if (phase === 'ended') break;
    await sleep(random() * MAX_PAUSE_MS);
    const status = await client.jobs.status(id);
    if (status.phase === 'hibernated') {
      hibernations += 1;
      if (status.keys.some(({ revokedAt }) => revokedAt === null)) keysActiveWhileWaiting += 1;
    }
    if (given === turns) break;
    if (!(await client.jobs.prompt(id, promptOf(given + 1)).then(Boolean, () => false))) break;
    given += 1;
  }
  await client.jobs.cancel(id).catch(() => {});
  const { outcome, failure, turns: ended } = await client.jobs.result(id);
  running.delete(id);
  const patch = String((await client.jobs.artifact(id, 'patch'))?.content ?? '');
  const lostWork = Array.from({ length: ended.length }, (_, index) => `turn-${index + 1}.`).flatMap((line) => {
    const times = patch.split(`+${line}`).length - 1;
    return times === 1 ? [] : [`${id}: ${line} is ${times} times in the patch of ${ended.length} turns`];
  });
  const mayFail = !repeats && failure?.code === 'sandbox_lost';
  const isRight = outcome === 'cancelled' || mayFail;
  return {
    id,
    prompts: ended.length,
    promptsExpected: mayFail ? ended.length : given,
    lostWork,
    keysActiveWhileWaiting,
    hibernations,
    complaints: isRight ? [] : [`${id}: ${outcome} ${failure?.code ?? ''} ${failure?.message ?? ''}, ${JSON.stringify(policy)}`],
  };
}

/** Resolves when the job has ended so many turns and waits for another, or has ended. */
async function whenWaiting(client: ValetkeyClient, id: string, turns: number): Promise<'waiting' | 'ended'> {
  for (;;) {
    const { state, phase, turn } = await client.jobs.status(id);
    if (state !== 'running') return 'ended';
    if ((phase === 'waiting' || phase === 'hibernated') && turn === turns) return 'waiting';
    await sleep(POLL_MS);
  }
}
