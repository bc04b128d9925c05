import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { z } from 'zod';

import { newDatabase } from '../helpers/database.ts';
import { root } from '../repository/root.ts';

const instant = z.iso.datetime();
const jobSchema = z.strictObject({
  agent: z.string(),
  outcome: z.literal('completed'),
  patch: z.string().startsWith('diff --git a/sum.mjs'),
  testPassedBefore: z.literal(false),
  testPassedAfter: z.literal(true),
  turns: z.literal(1),
  tokens: z.strictObject({ input: z.number().positive(), output: z.number().positive() }),
  usd: z.number().positive(),
  upstreamUsd: z.number(),
  key: z.strictObject({
    ref: z.string(),
    mintedAt: instant,
    boundAt: instant,
    firstUsedAt: instant,
    disabledAt: instant,
    revokedAt: instant,
  }),
  startedAt: instant,
  endedAt: instant,
});
const documentSchema = z.strictObject({ jobs: z.array(jobSchema), temporalAddress: z.string(), uiUrl: z.string().nullable() });

test('the demo has both agents mend the test, meters what the model sent, and prints one document', async () => {
  const { jobs, temporalAddress, stderr, exitCode } = await demo([]);
  expect({ exitCode, temporalAddress }).toEqual({ exitCode: 0, temporalAddress: inject('temporal').address });
  expect(jobs.map(({ agent }) => agent)).toEqual(['codex', 'claude']);
  for (const { usd, upstreamUsd } of jobs) expect(usd).toBe(upstreamUsd);
  expect(stderr).toContain('The test passes now');
});

test.each([
  ['shared', 'claude', 'paid with the organization’s credential pool'],
  ['byok', 'codex', 'paid with the credential own of the tenant demo'],
  ['subscription', 'claude', 'paid with the login plan of the tenant demo'],
])('the demo with the strategy %s has %s mend the test, and says whose credential pays', async (strategy, agent, line) => {
  const { jobs, stderr, exitCode } = await demo(['--strategy', strategy, '--agent', agent]);
  expect({ exitCode, outcomes: jobs.map(({ outcome }) => outcome) }).toEqual({ exitCode: 0, outcomes: ['completed'] });
  expect(stderr).toContain(line);
});

async function demo(args: string[]) {
  const temporal = inject('temporal');
  const { stdout, stderr, exitCode } = await execa(process.execPath, [join(root, 'src/dev/demo.ts'), '--json', ...args], {
    extendEnv: false,
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: await newDatabase(),
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      VALETKEY_TASK_QUEUE: `demo-${randomUUID()}`,
    },
    reject: false,
  });
  return { ...documentSchema.parse(JSON.parse(stdout)), stderr, exitCode };
}

test('the demo with real providers says which keys it lacks', async () => {
  const { stdout, exitCode } = await execa(process.execPath, [join(root, 'src/dev/demo.ts'), '--live'], {
    extendEnv: false,
    env: { PATH: process.env.PATH },
    reject: false,
  });
  expect(exitCode).toBe(1);
  expect(stdout).toContain('--live needs ANTHROPIC_API_KEY or OPENAI_API_KEY');
});
