import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ValetkeyClient } from '../../../src/client/client.ts';
import { loadConfig } from '../../../src/config/config.ts';
import type { JobEvent } from '../../../src/contract/events.ts';
import type { JobResult } from '../../../src/contract/result.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import type { AgentName } from '../../../src/contract/spec.ts';
import { startScriptedModel } from '../../../src/dev/scripted-model/server.ts';
import { startStack, type Stack, type TemporalAddress } from '../../../src/dev/stack.ts';
import { startFaultyProvider, type FaultyProvider } from './faults.ts';
import { startSite, type Site } from './site.ts';

const CREDENTIAL = 'credential-of-the-scripted-provider';
const MODELS: Partial<Record<AgentName, string>> = { claude: 'claude-sonnet-4-6', codex: 'gpt-5.1-codex' };
const OTHER_MODEL = 'gpt-5.1';

/** A job that has ended, and what it left. */
export interface Ended {
  jobId: string;
  result: JobResult;
  events: JobEvent[];
  patch: string | null;
  /** Of its last tool call. */
  output: string | null;
  /** Outcome, failure and warnings in one line. */
  says: string;
}

/** All parts of Valetkey over a provider that can fail, and what the cases share. */
export interface FieldRig {
  stack: Stack;
  client: ValetkeyClient;
  provider: FaultyProvider;
  site: Site;
  /** Submits a job of the agent `mock` with a model, a budget and a deadline, unless told otherwise, and waits for its end. */
  run(spec: Partial<JobSpecInput>, options?: { id?: string }): Promise<Ended>;
  /** The same without the wait. */
  submit(spec: Partial<JobSpecInput>, options?: { id?: string }): Promise<string>;
  ended(jobId: string): Promise<Ended>;
  /** An empty folder of the host, which is there until the rig is closed. */
  folder(): Promise<string>;
  close(): Promise<void>;
}

export interface FieldRigOptions {
  /** Started unless given. */
  databaseUrl?: string;
  temporal?: TemporalAddress;
  /** More of the worker's and gateway's environment. */
  environment?: NodeJS.ProcessEnv;
}

export async function startFieldRig({ databaseUrl, temporal, environment }: FieldRigOptions = {}): Promise<FieldRig> {
  const model = await startScriptedModel({ credential: CREDENTIAL });
  const provider = await startFaultyProvider(model.baseUrl);
  const site = await startSite();
  const root = await mkdtemp(join(tmpdir(), 'valetkey-field-'));
  const config = loadConfig({
    PATH: process.env.PATH,
    DATABASE_URL: databaseUrl,
    // Another worker may be on the given Temporal.
    VALETKEY_TASK_QUEUE: `field-${randomUUID()}`,
    VALETKEY_ANTHROPIC_BASE_URL: provider.url,
    VALETKEY_OPENAI_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: CREDENTIAL,
    OPENAI_API_KEY: CREDENTIAL,
    ...site.environment,
    ...environment,
  });
  const stack = await startStack({ report: () => {}, config, live: true, ...(temporal === undefined ? {} : { temporal }) });
  const { client } = stack;
  const rig: FieldRig = {
    stack,
    client,
    provider,
    site,
    async submit(spec, options = {}) {
      const { agent = 'mock' } = spec;
      const { jobId } = await client.jobs.submit(
        { tenant: 'acme', agent, model: MODELS[agent] ?? OTHER_MODEL, prompts: ['!say done'], budgetUsd: 10, deadline: '10m', ...spec },
        options,
      );
      return jobId;
    },
    async ended(jobId) {
      const result = await client.jobs.result(jobId);
      const events: JobEvent[] = [];
      for await (const event of client.jobs.events(jobId, { follow: false })) events.push(event);
      const artifact = await client.jobs.artifact(jobId, 'patch').catch(() => null);
      const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
      const output = events.flatMap((event) => (event.type === 'tool' ? [event.output ?? ''] : [])).at(-1) ?? null;
      const says = [result.outcome, result.failure?.code, result.failure?.message, ...warnings].filter(Boolean).join(' | ');
      return { jobId, result, events, patch: artifact?.content.toString() ?? null, output, says };
    },
    run: async (spec, options) => rig.ended(await rig.submit(spec, options)),
    folder: () => mkdtemp(join(root, 'f-')),
    async close() {
      await stack.stop();
      await provider.close();
      await model.close();
      await site.close();
      await rm(root, { recursive: true, force: true });
    },
  };
  return rig;
}
