import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, inject } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';
import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { startStack, type Stack, type StackOptions } from '../../src/dev/stack.ts';
import { newDatabase } from './database.ts';
import { killSandboxes } from './sandbox-remains.ts';
import { expectNoSecrets } from './secrets.ts';

/** A stack on the Temporal and the Postgres of the test run, with a database and a task queue of its own. */
export async function testStack({
  environment = {},
  ...options
}: Partial<StackOptions> & { environment?: NodeJS.ProcessEnv } = {}): Promise<Stack> {
  const config = loadConfig({
    PATH: process.env.PATH,
    DATABASE_URL: await newDatabase(),
    VALETKEY_TASK_QUEUE: `test-${randomUUID()}`,
    VALETKEY_LOG_LEVEL: 'debug',
    // A sweep beside each test would only cost time: those that are about it have it run.
    VALETKEY_SWEEP_INTERVAL: '1h',
    VALETKEY_INVENTORY_INTERVAL: '1h',
    ...environment,
  });
  return startStack({ report: () => undefined, config, temporal: inject('temporal'), ...options });
}

/** Gives the tests of a file one stack, and looks through all that it left behind for secrets. */
export function useStack(options: Parameters<typeof testStack>[0] = {}): () => Stack {
  let stack: Stack | undefined;
  beforeAll(async () => {
    stack = await testStack(options);
  });
  afterAll(async () => {
    if (stack === undefined) return;
    try {
      await expectNoSecrets(stack);
    } finally {
      await killSandboxes(stack);
      await stack.stop();
    }
  });
  return () => {
    if (stack === undefined) throw new Error('the stack has not started');
    return stack;
  };
}

/** A job that is right, with what a test wants different. */
export function jobSpec(change: Partial<JobSpecInput> = {}): JobSpecInput {
  const agent = change.agent ?? 'codex';
  const model = agent === 'claude' ? 'claude-sonnet-4-6' : 'gpt-5.1-codex';
  return { tenant: 'acme', agent, model, prompts: ['say hello'], budgetUsd: 1, deadline: '3m', ...change };
}
