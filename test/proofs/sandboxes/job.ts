import { setTimeout as sleep } from 'node:timers/promises';

import type { ValetkeyClient } from '../../../src/client/client.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';

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

/** One whose work is done once, however often the agent is asked to go on after a question. */
function askingPromptOf(turn: number): string {
  const run = `grep -qx turn-${turn}. log 2> /dev/null || echo turn-${turn}. >> log`;
  return withScript(`Turn ${turn}.`, [{ run }, { run }, { say: 'done' }]);
}

/** Runs a job of some turns with pauses between them, in which it may hibernate, and then cancels it. */
export async function runSandboxJob(client: ValetkeyClient, { id, random, running }: SandboxJobOptions): Promise<SandboxJob> {
  const repeats = random() < 0.5;
  const asks = random() < 0.3;
  const policy = {
    onInterrupted: repeats ? 'continue' : 'fail',
    hibernateAfter: random() < 0.5 ? '1s' : '5m',
    permissions: asks ? 'ask' : 'allow',
  } as const;
  const nextPrompt = asks ? askingPromptOf : promptOf;
  const turns = 2 + Math.floor(random() * (MAX_TURNS - 1));
  let [given, hibernations, keysActiveWhileWaiting] = [1, 0, 0];
  await client.jobs.submit({ ...SPEC, ...policy, prompts: [nextPrompt(1)] }, { id });
  running.add(id);
  for (;;) {
    const phase = await whenWaiting(client, id, given);
    if (phase === 'ended') break;
    await sleep(random() * (phase === 'asks' ? 2 : 1) * MAX_PAUSE_MS);
    const status = await client.jobs.status(id);
    if (status.phase === 'hibernated') {
      hibernations += 1;
      if (status.keys.some(({ revokedAt }) => revokedAt === null)) keysActiveWhileWaiting += 1;
    }
    if (phase === 'asks') {
      // Another may be open by now, or none, where the turn began again.
      if (status.question != null) await client.jobs.answer(id, status.question.id, 'allow').catch(() => {});
      continue;
    }
    if (given === turns) break;
    if (!(await client.jobs.prompt(id, nextPrompt(given + 1)).then(Boolean, () => false))) break;
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
  // The mock agent calls the model in a turn that asks, and does not try again while its gateway is away.
  const mayFail = (!repeats && failure?.code === 'sandbox_lost') || (asks && failure?.code === 'agent_failed');
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

/** Resolves when the job has ended so many turns and waits for another, waits for an answer, or has ended. */
async function whenWaiting(client: ValetkeyClient, id: string, turns: number): Promise<'waiting' | 'asks' | 'ended'> {
  for (;;) {
    const { state, phase, turn, question } = await client.jobs.status(id);
    if (state !== 'running') return 'ended';
    if (question !== null) return 'asks';
    if ((phase === 'waiting' || phase === 'hibernated') && turn === turns) return 'waiting';
    await sleep(POLL_MS);
  }
}
