/** What is wrong with a worker or its host shows when it starts, not in each job. */
import { randomBytes } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';
import { z } from 'zod';

import { agents } from '../../src/agents/index.ts';
import { createSandboxes } from '../../src/sandboxes/index.ts';
import { valetkey } from '../cli/valetkey.ts';
import { processStack } from '../helpers/process-stack.ts';
import { jobSpec } from '../helpers/stack.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const lineSchema = z.looseObject({ level: z.union([z.string(), z.number()]), msg: z.string() });

test('a worker logs the start and the end of a job at info, no warning of its own, and refuses to run beside others with another root key', async (context) => {
  const stack = await processStack(context, { environment: { VALETKEY_LOG_LEVEL: 'info' } });
  const { client, config, temporal } = stack;
  const { jobId } = await client.jobs.submit(jobSpec({ prompts: ['hello'] }));
  await client.jobs.result(jobId);
  const readLog = async (): Promise<string> => readFile(join(config.stateDir, 'log.jsonl'), 'utf8');
  await expect.poll(readLog).toContain('"Job ended."');
  const log = await readLog();
  const lines = log
    .trim()
    .split('\n')
    .map((line) => lineSchema.parse(JSON.parse(line)));
  expect(lines.filter(({ msg }) => msg === 'Job started.')).toMatchObject([{ workflowId: jobId, tenant: 'acme', agent: 'codex' }]);
  expect(lines.filter(({ msg }) => msg === 'Job ended.')).toMatchObject([{ workflowId: jobId, outcome: 'completed', turns: 1 }]);
  expect(log).not.toContain('No workflows registered');

  const env = {
    DATABASE_URL: String(config.databaseUrl),
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: config.taskQueue,
    VALETKEY_STATE_DIR: await temporaryFolder(),
    VALETKEY_ROOT_KEY: randomBytes(32).toString('base64'),
  };
  const { stderr, stdout, exitCode } = await valetkey(['worker'], { env });
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 2 });
  expect(stderr).toMatch(/use the root key [\da-f]{12}, which this one does not have/);
  expect(stderr).toContain('VALETKEY_ROOT_KEY');
});

test.each(['ANTHROPIC_API_KEY', 'OPENAI_API_KEY'])('a worker with %s is refused, and the credential is not said', async (variable) => {
  const { stderr, exitCode } = await valetkey(['worker'], {
    env: { VALETKEY_ROOT_KEY: randomBytes(32).toString('base64'), [variable]: 'made-up-credential' },
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain(`${variable}: is for gateways`);
  expect(stderr).not.toContain('made-up-credential');
});

test.each([
  ['LITELLM_MASTER_KEY', { VALETKEY_LITELLM_BASE_URL: 'http://127.0.0.1:1', LITELLM_MASTER_KEY: 'made-up-credential' }],
  ['OPENROUTER_PROVISIONING_KEY', { OPENROUTER_PROVISIONING_KEY: 'made-up-credential' }],
  ['PORTKEY_API_KEY', { PORTKEY_API_KEY: 'made-up-credential', PORTKEY_WORKSPACE_ID: 'ws-1' }],
])('a gateway with %s is refused, and the credential is not said', async (variable, env) => {
  const { stderr, exitCode } = await valetkey(['gateway'], { env });
  expect(exitCode).toBe(2);
  expect(stderr).toContain(`${variable}: is for workers`);
  expect(stderr).not.toContain('made-up-credential');
});

test('a worker that could not seal what a gateway mints is refused', async () => {
  const { stderr, exitCode } = await valetkey(['worker'], {
    env: {
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      VALETKEY_ROOT_KEY: randomBytes(32).toString('base64'),
      OPENROUTER_PROVISIONING_KEY: 'made-up-credential',
    },
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('VALETKEY_SEALING_PUBLIC_KEY is not set');
});

test('a host reports the agents that are not installed on it, and nothing where all is there', async () => {
  const stateDir = await temporaryFolder();
  await chmod(stateDir, 0o755);
  const options = {
    owner: 'tests',
    stateDir,
    socketDir: join(stateDir, 'gateway'),
    agentsDir: undefined,
    path: process.env['PATH'] ?? '',
    hostTaskQueue: 'tests',
  };
  const qwen = { ...agents.qwen, package: { name: '@valetkey/no-such-adapter', version: '1.0.0' } };
  expect(await createSandboxes({ local: { ...options, agents } }).local.check?.()).toEqual([]);
  expect(await createSandboxes({ local: { ...options, agents: { ...agents, qwen } } }).local.check?.()).toMatchObject([
    { code: 'agent_not_installed', message: expect.stringContaining('npm install @valetkey/no-such-adapter@1.0.0') as unknown },
  ]);
});
