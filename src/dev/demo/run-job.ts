import { setTimeout as sleep } from 'node:timers/promises';

import { followJob } from '../../cli/output/follow-job.ts';
import type { LiveLines } from '../../cli/output/live-lines.ts';
import { resultLines } from '../../cli/output/result-lines.ts';
import { sanitize, type Paint } from '../../cli/output/text.ts';
import type { ValetkeyClient } from '../../client/client.ts';
import { describeCredential, gatewayOf, type JobCredential } from '../../contract/credential.ts';
import { roundUsd } from '../../contract/money.ts';
import type { JobResult, KeyLife, Outcome } from '../../contract/result.ts';
import { PROVIDER_ISOLATIONS, type Isolation } from '../../contract/sandbox-provider.ts';
import type { JobSpecInput } from '../../contract/spec-input.ts';
import type { AgentName } from '../../contract/spec.ts';
import type { ScriptedModel } from '../scripted-model/index.ts';
import { withScript } from '../scripted-model/script.ts';
import { DEMO_TENANT } from './credential.ts';
import type { DemoRegistry } from './registry.ts';
import type { DemoRepository } from './repository.ts';
import { PROMPT } from './script.ts';

/** One job of the demo, as `--json` prints it. */
export interface DemoJob {
  agent: AgentName;
  outcome: Outcome;
  /** Null where there is none. */
  patch: string | null;
  testPassedBefore: boolean;
  testPassedAfter: boolean;
  turns: number;
  tokens: { input: number; output: number };
  /** What the gateway metered. */
  usd: number;
  /** What the scripted model says it sent; null where it was not called. */
  upstreamUsd: number | null;
  key: KeyLife | null;
  startedAt: string;
  endedAt: string;
}

/** The sandbox providers that run on this machine. */
export const DEMO_PROVIDERS = ['local', 'docker'] as const;

export interface DemoSettings {
  client: ValetkeyClient;
  model: ScriptedModel | null;
  provider: (typeof DEMO_PROVIDERS)[number];
  repository: DemoRepository;
  /** The registry that its dependency is installed from; null: nothing is to be installed. */
  registry: DemoRegistry | null;
  /** Cancels the job; its end is waited for all the same. */
  signal: AbortSignal;
  /** The job waits, hibernates, and goes on with a second prompt. */
  hibernates: boolean;
  out: LiveLines;
  paint: Paint;
}

export interface DemoTask {
  agent: AgentName;
  /** Name of the LLM. */
  llm: string;
  credential: JobCredential;
}

const BUDGET_USD = 1;
const POLL_MS = 200;
/** The job ends when no prompt came for that long. */
const HIBERNATION = { keepOpen: '8s', hibernateAfter: '1s' };
const SECOND_PROMPT = 'Which file did you change?';
const SECOND_ANSWER = 'sum.mjs: I still know it, in a new sandbox.';

/** Has an agent fix the repository, shows how, and checks its patch. */
export async function runDemoJob(settings: DemoSettings, task: DemoTask): Promise<DemoJob> {
  const { agent, llm, credential } = task;
  const { client, repository, out, paint } = settings;
  // A gateway of a third party calls models of its own.
  const model = gatewayOf(credential) === 'builtin' ? settings.model : null;
  const beforeUsd = model?.usd() ?? 0;
  out.line('');
  out.line(paint('bold', `${agent} with ${llm}`));
  out.line(`paid with ${describeCredential(credential, DEMO_TENANT)}`);
  const result = await runIsolated(settings, task);
  const upstreamUsd = model === null ? null : roundUsd(model.usd() - beforeUsd);
  const patch = (await client.jobs.artifact(result.jobId, 'patch'))?.content.toString() ?? null;
  const [testPassedBefore, testPassedAfter] = [await repository.testPasses(null), await repository.testPasses(patch)];

  for (const line of sanitize(patch ?? '')
    .trimEnd()
    .split('\n'))
    out.line(colored(line, paint));
  for (const line of resultLines(result, paint, out.columns)) out.line(line);
  if (upstreamUsd !== null) out.line(`${paint('cyan', 'upstream ')}$${upstreamUsd} sent, $${result.usage.usd} metered`);
  out.line(`${paint('cyan', 'test     ')}${passed(testPassedBefore)} before, ${passed(testPassedAfter)} with the patch`);

  const { outcome, turns, usage, keys, startedAt, endedAt } = result;
  return {
    agent,
    outcome,
    patch,
    testPassedBefore,
    testPassedAfter,
    turns: turns.length,
    tokens: { input: usage.inputTokens, output: usage.outputTokens },
    usd: usage.usd,
    upstreamUsd,
    key: keys.at(-1) ?? null,
    startedAt,
    endedAt,
  };
}

/** With isolation, and without where this machine has none. */
async function runIsolated(settings: DemoSettings, task: DemoTask): Promise<JobResult> {
  const result = await follow(settings, task, PROVIDER_ISOLATIONS[settings.provider][0]);
  if (result.failure?.code !== 'isolation_unavailable') return result;
  settings.out.line(
    settings.paint(
      'yellow',
      'There is no isolation on this machine: the agent runs on the host itself, and reaches its network and its files.',
    ),
  );
  return follow(settings, task, 'none');
}

async function follow(
  { client, model, provider, repository, registry, signal, hibernates, out, paint }: DemoSettings,
  { agent, llm, credential }: DemoTask,
  isolation: Isolation,
): Promise<JobResult> {
  const { jobId } = await client.jobs.submit({
    tenant: DEMO_TENANT,
    agent,
    model: llm,
    credential,
    prompts: [PROMPT],
    budgetUsd: BUDGET_USD,
    deadline: '10m',
    ...(hibernates ? HIBERNATION : {}),
    ...sandboxAndWorkspace(repository, registry, { provider, isolation }),
  });
  let cancelling: Promise<unknown> = Promise.resolve();
  // Where it fails the job goes on to its end.
  const cancel = (): void => void (cancelling = client.jobs.cancel(jobId).catch(() => {}));
  signal.addEventListener('abort', cancel);
  if (signal.aborted) cancel();
  try {
    const waking = hibernates
      ? wake(client, jobId, model === null ? SECOND_PROMPT : withScript(SECOND_PROMPT, [{ say: SECOND_ANSWER }]), out)
      : null;
    await followJob(client.jobs.events(jobId), out, paint);
    await waking;
    return await client.jobs.result(jobId);
  } finally {
    signal.removeEventListener('abort', cancel);
    await cancelling;
  }
}

/** Gives the job its second prompt once it hibernates, or nothing where it ends before. */
async function wake(client: ValetkeyClient, jobId: string, prompt: string, out: LiveLines): Promise<void> {
  for (;;) {
    const { phase, keyState, state } = await client.jobs.status(jobId);
    if (state !== 'running') return;
    if (phase === 'hibernated') {
      out.line(`the job hibernates: it has no sandbox, and its key is ${String(keyState)}`);
      await client.jobs.prompt(jobId, prompt);
      return;
    }
    await sleep(POLL_MS);
  }
}

/** Without isolation there is no egress to go through: the job has the network of the host. */
function sandboxAndWorkspace(
  { path }: DemoRepository,
  registry: DemoRegistry | null,
  sandbox: Pick<DemoSettings, 'provider'> & { isolation: Isolation },
): Pick<JobSpecInput, 'sandbox' | 'workspace'> {
  if (registry === null) return { sandbox, workspace: { path } };
  if (sandbox.isolation === 'none') return { sandbox, workspace: { path, setup: [`npm install --registry=${registry.loopbackUrl}`] } };
  return { sandbox: { ...sandbox, egress: { hosts: [registry.target] } }, workspace: { path, setup: ['npm install'] } };
}

function colored(line: string, paint: Paint): string {
  if (/^\+(?!\+\+)/.test(line)) return paint('green', line);
  return /^-(?!--)/.test(line) ? paint('red', line) : line;
}

function passed(passes: boolean): string {
  return passes ? 'passes' : 'fails';
}
