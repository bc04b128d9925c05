import { expect, test } from 'vitest';
import { z } from 'zod';

import { document, valetkey } from './valetkey.ts';

/** Nothing listens there: a job that is refused in time never gets so far. */
const env = { DATABASE_URL: 'postgres://127.0.0.1:1/none', TEMPORAL_ADDRESS: '127.0.0.1:1' };
const errorSchema = z.object({
  error: z.object({ code: z.string(), issues: z.array(z.object({ path: z.string(), message: z.string() })) }),
});
const JOB = { tenant: 'acme', agent: 'codex', model: 'gpt-5.1-codex', prompts: ['Say hello.'], budgetUsd: 1 };

test.each([
  ['an unknown agent', { agent: 'copilot' }, 'agent', /"claude"\|"codex"/],
  ['a budget below zero', { budgetUsd: -1 }, 'budgetUsd', /more than 0/],
  ['a budget of zero', { budgetUsd: 0 }, 'budgetUsd', /more than 0/],
  ['a prompt of 5 MB', { prompts: ['x'.repeat(5e6)] }, 'prompts.0', /at most 262144 bytes/],
  ['a deadline in the past', { deadline: '2020-01-01T00:00:00Z' }, 'deadline', /in the future/],
  ['an unknown field', { budget: 1 }, 'budget', /unknown field/],
])('%s is refused with its path and what is allowed, before anything starts', async (_what, change, path, allowed) => {
  const args = ['run', '--spec', '-'];
  const input = JSON.stringify({ ...JOB, ...change });
  const [person, program] = await Promise.all([valetkey(args, { env, input }), valetkey([...args, '--json'], { env, input })]);

  expect({ exitCode: person.exitCode, stdout: person.stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(person.stderr).toContain(path);
  expect(person.stderr).toMatch(allowed);
  expect(person.stderr).not.toMatch(/\n\s+at /);
  expect(person.stderr.length).toBeLessThan(400);

  expect({ exitCode: program.exitCode, stdout: program.stdout }).toEqual({ exitCode: 2, stdout: '' });
  const { error } = errorSchema.parse(document(program.stderr));
  expect(error.code).toBe('invalid_spec');
  expect(error.issues.find((issue) => issue.path === path)?.message).toMatch(allowed);
});

test('flags that are wrong are all named, one a line', async () => {
  const { stderr, exitCode } = await valetkey(['run', '--agent', 'copilot', '--budget', '-1', '--prompt', '', '--ref', 'main'], { env });
  expect(exitCode).toBe(2);
  for (const path of ['tenant', 'agent', 'model', 'prompts.0', 'budgetUsd', 'workspace.ref']) expect(stderr).toContain(`\n  ${path}: `);
});

test.each([
  ['a spec that is not JSON', '-', 'postgres://user:hidden@host', 'The job in standard input is not valid JSON.'],
  ['a spec that is not there', 'no-such-file.json', '', 'Cannot read no-such-file.json: ENOENT.'],
])('%s ends with exit code 2 and is not quoted', async (_what, file, input, message) => {
  const { stderr, exitCode } = await valetkey(['run', '--spec', file], { env, input });
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('hidden');
});

test('the schema of a job names its fields and refuses others', async () => {
  const { stdout, stderr, exitCode } = await valetkey(['schema']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(document(stdout)).toMatchObject({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    additionalProperties: false,
    required: ['tenant', 'agent', 'model', 'prompts', 'budgetUsd'],
    properties: { agent: { enum: ['claude', 'codex', 'opencode', 'qwen', 'amp', 'mock'] } },
  });
});
