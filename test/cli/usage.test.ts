import { expect, test } from 'vitest';

import { document, valetkey } from './valetkey.ts';

const COMMANDS = [
  'dev',
  'worker',
  'gateway',
  'run',
  'status',
  'events',
  'list',
  'prompt',
  'interrupt',
  'answer',
  'cancel',
  'artifacts',
  'keys',
  'revoke',
  'tenants',
  'rotate',
  'sweep',
  'schedules',
  'seal',
  'sealing-key',
  'keyring',
  'credentials',
  'schema',
];

test('the help names every command, the variables that are read and the exit codes', async () => {
  const { stdout, exitCode } = await valetkey(['--help']);
  expect(exitCode).toBe(0);
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^ +${command} `, 'm'));
  for (const text of ['DATABASE_URL', 'TEMPORAL_ADDRESS', 'NO_COLOR', 'Exit codes:']) expect(stdout).toContain(text);
});

test.each(COMMANDS)('the help of %s has an example and --json', async (command) => {
  const { stdout, exitCode } = await valetkey([command, '--help']);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(new RegExp(`\\$ .*valetkey ${command}`));
  expect(stdout).toContain('--json');
});

test.each([
  ['an unknown command', ['frobnicate'], "unknown command 'frobnicate'"],
  ['an unknown option', ['list', '--colour'], "unknown option '--colour'"],
  ['a missing argument', ['status'], "missing required argument 'job'"],
  ['a number that is none', ['events', 'job-1', '--after', 'x'], 'It must be a number, 0 or more.'],
  ['a limit out of range', ['list', '--limit', '0'], 'It must be a number from 1 to 10000.'],
  ['a budget that is no number', ['run', '--budget', 'ten'], 'It is an amount in USD'],
  ['a file without content', ['run', '--file', 'a.txt'], 'It is a path and its content'],
  ['a revocation of nothing', ['revoke'], 'name either a job, a ref or --tenant'],
  ['an unblock without a tenant', ['revoke', 'job-1', '--unblock'], '--unblock goes with --tenant'],
  ['an unknown schedule', ['schedules', 'pause', 'nightly'], 'Allowed choices are sweep, rotate-keys'],
  ['a spec beside flags', ['run', '--spec', '-', '--agent', 'codex'], 'cannot be used with'],
])('%s ends with exit code 2 and says in two lines what is wrong', async (_what, args, message) => {
  const { stdout, stderr, exitCode } = await valetkey(args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr.split('\n')).toHaveLength(2);
});

test('without a command the help shows on standard error, with exit code 2', async () => {
  const { stdout, stderr, exitCode } = await valetkey([]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain('Usage: valetkey');
});

test('with --json bad usage is one JSON document on standard error', async () => {
  const { stdout, stderr, exitCode } = await valetkey(['status', '--json']);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(document(stderr)).toEqual({
    error: { code: 'usage', message: "missing required argument 'job'", hint: 'Add --help to see what is allowed.', issues: [] },
  });
});
