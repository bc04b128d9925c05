import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';

import { AGENT_METHODS } from '@agentclientprotocol/sdk';
import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';

import { formatKeyRef } from '../../src/contract/ref.ts';
import { parseKeyRef } from '../../src/contract/ref.ts';
import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import type { AgentName } from '../../src/contract/spec.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import { startStack, type Stack } from '../../src/dev/stack.ts';
import { SERVER_AGENT, type SandboxConnection } from '../../src/sandboxes/sandbox.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { INITIALIZE } from '../../src/session/turn/open-session.ts';
import { beginEnd } from '../../src/store/key-transitions.ts';
import { activateKey, recordIntent } from '../../src/store/key-transitions.ts';
import type { Adapters } from '../../src/worker/start.ts';
import { builtinSecrets } from '../../test/helpers/minted-key.ts';
import { percentile } from '../percentile.ts';
import { say } from '../report.ts';

const MODELS = { mock: 'gpt-5.1-codex', codex: 'gpt-5.1-codex', claude: 'claude-sonnet-4-6' } as const;
type BenchedAgent = keyof typeof MODELS & AgentName;
const ROUNDS: Record<BenchedAgent, number> = { mock: 15, codex: 15, claude: 15 };
const PROMPT = withScript('Say hello.', [{ say: 'Hello.' }]);

/** ms at the median: from a sandbox that is warm and has its key to the agent's first words. */
export interface FirstEvent {
  ours: number;
  direct: number;
  /** Over the rounds, each against the direct start of its own round. */
  added: number;
  rounds: number;
}

/**
 * A job's way (Temporal's hop, binding the key, server, shim, events in the store) against the adapter's own start: spawned
 * in a sandbox like the job's, spoken to over stdio, its key in place before the clock starts. In turns, in one run.
 */
export async function firstEvents(): Promise<Record<BenchedAgent, FirstEvent>> {
  const clock = new Clock();
  let adapters: Adapters | undefined;
  const stack = await startStack({ report: say, adapt: (given) => clock.watch((adapters = given)) });
  try {
    if (adapters === undefined) throw new Error('the worker has no adapters');
    const mock = await compare(stack, adapters, clock, 'mock');
    const codex = await compare(stack, adapters, clock, 'codex');
    return { mock, codex, claude: await compare(stack, adapters, clock, 'claude') };
  } finally {
    await stack.stop();
  }
}

async function compare(stack: Stack, adapters: Adapters, clock: Clock, agent: BenchedAgent): Promise<FirstEvent> {
  const ours: number[] = [];
  const direct: number[] = [];
  const added: number[] = [];
  for (let round = 0; round <= ROUNDS[agent]; round += 1) {
    const sides = [async () => ownStart(stack, clock, agent), async () => directStart(adapters, agent, round)];
    const took = new Map<number, number>();
    for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) took.set(side, (await sides[side]?.()) ?? Number.NaN);
    const [own = Number.NaN, plain = Number.NaN] = [took.get(0), took.get(1)];
    say(`${agent}, round ${round} of ${ROUNDS[agent]}: ours ${own.toFixed(0)} ms, direct ${plain.toFixed(0)} ms`);
    // The first one reads the programs from the disk.
    if (round === 0) continue;
    ours.push(own);
    direct.push(plain);
    added.push(own - plain);
  }
  return { ours: percentile(ours, 50), direct: percentile(direct, 50), added: percentile(added, 50), rounds: ours.length };
}

async function ownStart({ client }: Stack, clock: Clock, agent: BenchedAgent): Promise<number> {
  const job: JobSpecInput = { tenant: 'bench', agent, model: MODELS[agent], prompts: [PROMPT], budgetUsd: 1 };
  const { jobId } = await client.jobs.submit(job);
  const { outcome } = await client.jobs.result(jobId);
  if (outcome !== 'completed') throw new Error(`a job of the bench ended ${outcome}`);
  return clock.took(jobId);
}

async function directStart(
  { database, sandboxes, session, workspaces, agents }: Adapters,
  agent: BenchedAgent,
  round: number,
): Promise<number> {
  const jobId = `direct-${agent}-${round}`;
  const model = MODELS[agent];
  const ref = formatKeyRef({ jobId, leaseId: 'bench', generation: 1 });
  const secret = new Secret(`bench-${randomUUID()}`);
  const expiresAt = new Date(Date.now() + 600_000);
  const key = { ref, jobId, tenant: 'bench', generation: 1, gateway: 'builtin', owner: 'default/bench' } as const;
  const credential = { strategy: 'gateway', gateway: 'builtin' } as const;
  await recordIntent(database.db, {
    ...key,
    credential,
    rootKeyId: 'none',
    budgetUsd: 1,
    models: [model],
    expiresAt,
    hardExpiresAt: expiresAt,
  });
  await activateKey(database.db, key, builtinSecrets(secret.reveal()));
  const handle = await sandboxes.local.start({ jobId, agent, isolation: 'bubblewrap' });
  const sandbox = sandboxes.local.connect(handle);
  try {
    const folders = await sandboxes.local.hostFolders(handle);
    await workspaces.put(sandbox, {}, folders?.workerFolder ?? '');
    await session.bindKey(sandbox, agents[agent], secret, { model, permissions: 'allow' });
    return await runDriver(sandbox);
  } finally {
    await sandbox.close();
    await sandboxes.local.stop(jobId);
    await beginEnd(database.db, key, 'job');
  }
}

const outputSchema = z.object({ stdout: z.string() });
const driverSchema = z.object({ ms: z.number().positive() });

async function runDriver(sandbox: SandboxConnection): Promise<number> {
  const { home, workspace } = sandbox.paths;
  const driver = join(home, 'direct-agent.mjs');
  const source = stripTypeScriptTypes(await readFile(join(import.meta.dirname, 'direct-agent.ts'), 'utf8'));
  await sandbox.fetch(`/v1/fs/file?path=${encodeURIComponent(driver)}`, { method: 'PUT', body: source });
  const sessionId = '$SESSION';
  const requests = [
    INITIALIZE,
    { id: 'session', method: AGENT_METHODS.session_new, params: { cwd: workspace, mcpServers: [] } },
    { id: 'rename', method: '_session/rename', params: { sessionId, title: 'job' } },
    { id: 'prompt', method: AGENT_METHODS.session_prompt, params: { sessionId, prompt: [{ type: 'text', text: PROMPT }] } },
  ];
  const lines = requests.map((request) => JSON.stringify({ jsonrpc: '2.0', ...request }));
  const script = `exec node ${driver} "$XDG_DATA_HOME/sandbox-agent/bin/agent_processes/${SERVER_AGENT}-acp" "$@"`;
  const body = { command: 'sh', args: ['-c', script, 'sh', ...lines], cwd: workspace, timeoutMs: 60_000 };
  const headers = { 'content-type': 'application/json' };
  const response = await sandbox.fetch('/v1/processes/run', { method: 'POST', headers, body: JSON.stringify(body) });
  const { stdout } = outputSchema.parse(await response.json());
  return driverSchema.parse(JSON.parse(stdout)).ms;
}

/** From the moment when a job's sandbox and key are there to its agent's first words in the store, by job. */
class Clock {
  readonly #ready = new Map<string, number>();
  readonly #spoken = new Map<string, number>();

  took(jobId: string): number {
    return (this.#spoken.get(jobId) ?? Number.NaN) - (this.#ready.get(jobId) ?? Number.NaN);
  }

  watch({ gateways, sandboxes, session, workspaces, ...others }: Adapters): Adapters {
    const { builtin } = gateways;
    const ready = (jobId: string): void => void this.#ready.set(jobId, performance.now());
    return {
      ...others,
      gateways: {
        builtin: {
          name: builtin.name,
          mint: async (wanted) => {
            const minted = await builtin.mint(wanted);
            ready(parseKeyRef(wanted.ref).jobId);
            return minted;
          },
          extend: async () => {},
          disable: (key) => builtin.disable(key),
          probe: (key) => builtin.probe(key),
          spend: (key) => builtin.spend(key),
        },
      },
      sandboxes,
      workspaces: {
        ...workspaces,
        put: async (...parameters) => {
          const put = await workspaces.put(...parameters);
          ready(activityInfo().workflowExecution?.workflowId ?? '');
          return put;
        },
      },
      session: {
        ...session,
        runTurn: async ({ onEvent, ...options }) =>
          session.runTurn({
            ...options,
            onEvent: async (events) => {
              await onEvent(events);
              const speaks = events.some(({ body }) => body.type === 'message');
              if (speaks && !this.#spoken.has(options.jobId)) this.#spoken.set(options.jobId, performance.now());
            },
          }),
      },
    };
  }
}
