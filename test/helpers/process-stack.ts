import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { inject, type TestContext } from 'vitest';
import { z } from 'zod';

import { createClient } from '../../src/client/client.ts';
import { loadConfig } from '../../src/config/config.ts';
import { freePort } from '../../src/dev/process.ts';
import { startScriptedModel } from '../../src/dev/scripted-model/server.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { newDatabase } from './database.ts';
import { processEnvironment } from './process-environment.ts';
import { killSandboxes } from './sandbox-remains.ts';
import { expectNoSecrets } from './secrets.ts';

export interface ProcessStack extends Stack {
  worker: Part;
  gateway: Part;
}

/** A process of Valetkey's own command line, which can be ended and started again. */
export interface Part {
  /** Resolves when it says that it is ready. */
  start(): Promise<void>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Sends it a signal that does not end it. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
}

interface Options {
  databaseUrl?: string;
  temporal?: Stack['temporal'];
  /** Default: it is started before the worker. */
  gateway?: 'later';
  /** Beside what a stack has. */
  environment?: NodeJS.ProcessEnv;
}

/**
 * A stack whose gateway and worker are processes of their own, for one test. At its end all that the stack left behind is
 * looked through for secrets.
 */
export async function processStack({ onTestFinished }: TestContext, options: Options = {}): Promise<ProcessStack> {
  const stack = await startProcesses(options);
  onTestFinished(async () => {
    try {
      await expectNoSecrets(stack);
    } finally {
      await killSandboxes(stack);
      await stack.stop();
    }
  });
  return stack;
}

async function startProcesses(options: Options): Promise<ProcessStack> {
  const { databaseUrl = await newDatabase(), temporal = inject('temporal') } = options;
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-'));
  await chmod(stateDir, 0o755);
  const credential = randomBytes(16).toString('hex');
  const model = await startScriptedModel({ credential });
  const environment: NodeJS.ProcessEnv = {
    ...processEnvironment({ databaseUrl, temporal, stateDir, model, credential }),
    VALETKEY_LOG_LEVEL: 'debug',
    VALETKEY_METRICS_ADDRESS: `127.0.0.1:${await freePort()}`,
    ...options.environment,
  };
  const config = loadConfig(environment);
  const log = await open(join(stateDir, 'log.jsonl'), 'a');
  const { VALETKEY_ROOT_KEY, ANTHROPIC_API_KEY, OPENAI_API_KEY, E2B_API_KEY, DAYTONA_API_KEY, ...both } = environment;
  const gateway = part('gateway', { ...both, ANTHROPIC_API_KEY, OPENAI_API_KEY }, log.fd);
  const worker = part('worker', { ...both, VALETKEY_ROOT_KEY, E2B_API_KEY, DAYTONA_API_KEY }, log.fd);
  if (options.gateway !== 'later') await gateway.start();
  await worker.start();
  const client = await createClient({
    databaseUrl,
    taskQueue: config.taskQueue,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  return {
    client,
    config,
    temporal,
    model,
    worker,
    gateway,
    get gatewayUrl() {
      return String(gateway.ready?.url);
    },
    stop: async () => {
      await client.close();
      await worker.kill('SIGTERM');
      await gateway.kill('SIGTERM');
      await model.close();
      await log.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

/** What it says when it is ready. */
const readySchema = z.looseObject({ ready: z.literal(true), url: z.string().optional() });
type Ready = z.infer<typeof readySchema>;

/** A part of which nothing runs yet; it writes its log to the descriptor. */
export function part(command: 'worker' | 'gateway', env: NodeJS.ProcessEnv, log: number): Part & { ready: Ready | null } {
  let child: ChildProcess | null = null;
  const self = {
    ready: null as Ready | null,
    start: async (): Promise<void> => {
      const started = spawn(process.execPath, ['src/cli/index.ts', command, '--json'], { env, stdio: ['ignore', 'pipe', log] });
      child = started;
      const lines = createInterface({ input: started.stdout ?? process.stdin });
      // A process that is killed can leave its pipe with something unread.
      lines.on('error', () => {});
      const first = await Promise.race([once(lines, 'line'), once(started, 'exit').then(() => ['null'])]);
      self.ready = readySchema.parse(JSON.parse(String(first[0])));
    },
    signal: (signal: 'SIGSTOP' | 'SIGCONT'): void => void child?.kill(signal),
    kill: async (signal: NodeJS.Signals): Promise<void> => {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    },
  };
  return self;
}
