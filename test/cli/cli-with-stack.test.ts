import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';

import { expect, test } from 'vitest';
import { z } from 'zod';

import { withScript, type Step } from '../../src/dev/scripted-model/index.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { document, valetkey } from './valetkey.ts';

const ESCAPE = '\u001B';
const eventSchema = z.object({ seq: z.number(), type: z.string() });
const stack = useStack();

/** What `valetkey dev` prints for another shell. */
function environment(): Record<string, string> {
  const { config, temporal } = stack();
  return {
    DATABASE_URL: config.databaseUrl ?? '',
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: config.taskQueue,
  };
}

const cli = (args: string[], input = ''): ReturnType<typeof valetkey> => valetkey(args, { env: environment(), input });
const newId = (): string => `cli-${randomUUID()}`;

function spec(script: Step[], change: Parameters<typeof jobSpec>[0] = {}): string {
  return JSON.stringify(jobSpec({ prompts: [withScript('Do it.', script)], ...change }));
}

test('a job is run, followed in plain lines and found again by every other command', async () => {
  const id = newId();
  const folder = await mkdtemp(join(tmpdir(), 'vk-cli-'));
  const patch = join(folder, 'made.patch');
  const job = spec([
    { say: `Writing.${ESCAPE}[2J` },
    { write: { path: 'note.txt', content: 'made by the agent\n' } },
    { say: 'It is written.' },
  ]);
  const run = await cli(['run', '--spec', '-', '--id', id, '--out', patch], job);
  const made = await readFile(patch, 'utf8');
  await rm(folder, { recursive: true });

  expect({ exitCode: run.exitCode, stderr: run.stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(run.stdout).not.toContain(ESCAPE);
  for (const text of [`job ${id}`, 'Writing.', 'It is written.', 'completed', 'minted +', 'revoked +']) expect(run.stdout).toContain(text);
  expect(made).toContain('+made by the agent');

  const [again, status, events, later, list, text] = await Promise.all([
    cli(['run', '--spec', '-', '--id', id, '--json'], job),
    cli(['status', id, '--json']),
    cli(['events', id, '--json']),
    cli(['events', id, '--json', '--no-follow', '--after', '2']),
    cli(['list', '--tenant', 'acme', '--json']),
    cli(['list']),
  ]);
  const result = document(again.stdout);
  expect({ exitCode: again.exitCode, result }).toMatchObject({ exitCode: 0, result: { jobId: id, outcome: 'completed', keys: [{}] } });
  expect(document(status.stdout)).toMatchObject({ jobId: id, state: 'completed', keyState: 'revoked', phase: 'ended' });
  const lines = events.stdout.split('\n').map((line) => eventSchema.parse(document(line)));
  expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, index) => index + 1));
  expect([lines[0]?.type, lines.at(-1)?.type]).toEqual(['job.started', 'job.ended']);
  expect(later.stdout).toBe(events.stdout.split('\n').slice(2).join('\n'));
  expect(document(list.stdout)).toContainEqual(expect.objectContaining({ jobId: id, tenant: 'acme', agent: 'codex', keyState: 'revoked' }));
  expect(text.stdout).toMatch(new RegExp(`^${id} +acme +codex +completed +revoked`, 'm'));
});

test('where there is no patch run --out leaves no file, not even that of an earlier job, and says why', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vk-cli-'));
  const patch = join(folder, 'made.patch');
  await writeFile(patch, 'of an earlier job');
  const unchanged = await cli(['run', '--spec', '-', '--out', patch], spec([{ say: 'Nothing to do.' }]));
  const left = await readdir(folder);
  await rm(folder, { recursive: true });
  expect({ exitCode: unchanged.exitCode, left }).toEqual({ exitCode: 0, left: [] });
  expect(unchanged.stderr).toBe(`No patch was written to ${patch}: the agent changed nothing that a patch holds.`);
});

test('a job is described by flags', async () => {
  const flags = [
    '--tenant',
    'flags',
    '--agent',
    'codex',
    '--model',
    'gpt-5.1-codex',
    '--budget',
    '0.5',
    '--deadline',
    '3m',
    '--file',
    'a.txt=x=1',
  ];
  const prompts = [
    withScript('First.', [{ run: 'test "$(cat a.txt)" = x=1 && echo it is there' }, { say: 'Read.' }]),
    withScript('Second.', [{ say: 'Twice.' }]),
  ];
  const { stdout, exitCode } = await cli(['run', ...flags, ...prompts.flatMap((prompt) => ['--prompt', prompt])]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain('it is there');
  expect(stdout).toMatch(/^turns +2$/m);
});

test('a job that fails ends with exit code 3 and the code of its failure', async () => {
  const { stdout, exitCode } = await cli(['run', '--spec', '-', '--json'], spec([{ fail: { status: 402 } }]));
  expect({ exitCode, result: document(stdout) }).toMatchObject({
    exitCode: 3,
    result: { outcome: 'failed', failure: { code: 'llm_payment_required' } },
  });
});

test('a job that passes its deadline ends with exit code 5', async () => {
  const { exitCode } = await cli(['run', '--spec', '-', '--json'], spec([{ hang: true }], { deadline: '6s' }));
  expect(exitCode).toBe(5);
});

test('Ctrl-C leaves a job running and says how to follow and end it; whoever waits for a cancelled job gets exit code 4', async () => {
  const id = newId();
  const job = spec([{ hang: true }]);
  const watched = cli(['run', '--spec', '-', '--id', id], job);
  for await (const line of watched) if (line.includes('turn 1')) watched.kill('SIGINT');
  const { exitCode, stderr } = await watched;
  expect(exitCode).toBe(130);
  expect(stderr).toContain(`valetkey events ${id}`);
  expect(stderr).toContain(`valetkey cancel ${id}`);

  const detached = await cli(['run', '--spec', '-', '--id', id, '--detach'], job);
  expect({ exitCode: detached.exitCode, stdout: detached.stdout }).toEqual({ exitCode: 0, stdout: id });
  const running = await cli(['status', id, '--json']);
  expect(document(running.stdout)).toMatchObject({ state: 'running', phase: 'running', turn: 1, turns: 1, keyState: 'active' });
  expect((await cli(['list', '--running'])).stdout).toContain(id);

  const waiting = cli(['run', '--spec', '-', '--id', id, '--json'], job);
  const cancelled = await cli(['cancel', id, '--wait', '--json']);
  expect(cancelled.exitCode).toBe(0);
  expect(document(cancelled.stdout)).toMatchObject({ jobId: id, outcome: 'cancelled' });
  expect((await waiting).exitCode).toBe(4);
});

test('the same id with another spec is refused with exit code 2', async () => {
  const id = newId();
  await cli(['run', '--spec', '-', '--id', id, '--detach'], spec([{ say: 'one' }]));
  const { stderr, exitCode } = await cli(['run', '--spec', '-', '--id', id, '--json'], spec([{ say: 'two' }]));
  expect({ exitCode, error: document(stderr) }).toMatchObject({ exitCode: 2, error: { error: { code: 'job_conflict' } } });
});

test.each(['status', 'events', 'cancel'])('%s of a job that is not there ends with exit code 6', async (command) => {
  const { stdout, stderr, exitCode } = await cli([command, 'no-such-job', '--json']);
  expect({ exitCode, stdout }).toEqual({ exitCode: 6, stdout: '' });
  expect(document(stderr)).toMatchObject({ error: { code: 'job_not_found' } });
});

test.each(['worker', 'gateway'])('%s says once when it is ready, logs JSON, and ends with exit code 0 on SIGTERM', async (command) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'vk-cli-'));
  const own = {
    VALETKEY_STATE_DIR: stateDir,
    VALETKEY_TASK_QUEUE: newId(),
    VALETKEY_ROOT_KEY: randomBytes(32).toString('base64'),
    VALETKEY_GATEWAY_PORT: '0',
  };
  const running = valetkey([command, '--json'], { env: { ...environment(), ...own } });
  for await (const line of running) if (line.includes('ready')) running.kill('SIGTERM');
  const { stdout, stderr, exitCode } = await running;
  await rm(stateDir, { recursive: true });
  expect(exitCode).toBe(0);
  expect(document(stdout)).toMatchObject({ ready: true });
  for (const line of stderr.split('\n').filter((text) => text !== '')) document(line);
  expect(stderr).not.toContain(own.VALETKEY_ROOT_KEY);
  expect(stderr.includes('There is no default credential')).toBe(command === 'gateway');
});

test('an id that is none is refused with exit code 2', async () => {
  const { stderr, exitCode } = await cli(['status', 'a b']);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('id: must be 1 to 128');
});

test('a Postgres that does not answer ends a command with exit code 7, its password unsaid', async () => {
  const env = { ...environment(), DATABASE_URL: 'postgres://valetkey:made-up-password@127.0.0.1:1/none' };
  const { stdout, stderr, exitCode } = await valetkey(['list'], { env });
  expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: '' });
  expect(stderr).toContain('Postgres does not answer');
  expect(stderr).not.toContain('made-up-password');
});

test('a file for the patch that cannot be written is refused before a job starts', async () => {
  const id = newId();
  const { stdout, stderr, exitCode } = await cli(
    ['run', '--spec', '-', '--id', id, '--out', '/dev/null/fix.patch'],
    spec([{ say: 'one' }]),
  );
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain('--out: cannot write /dev/null/fix.patch: ENOTDIR');
  expect((await cli(['status', id])).exitCode).toBe(6);
});

test('a reader who stops early gets no trace, and an exit code that claims no outcome', async () => {
  const id = newId();
  const running = cli(['run', '--spec', '-', '--id', id], spec([{ say: 'one' }, { run: 'true' }, { say: 'two' }]));
  running.stdout.once('data', () => running.stdout.destroy());
  const { stderr, exitCode } = await running;
  expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: '' });
  expect((await cli(['run', '--spec', '-', '--id', id, '--json'], spec([{ say: 'one' }, { run: 'true' }, { say: 'two' }]))).exitCode).toBe(
    0,
  );
});

test('without a Postgres a caller starts no job', async () => {
  const id = newId();
  const env = { ...environment(), DATABASE_URL: 'postgres://valetkey:made-up-password@127.0.0.1:1/none' };
  const { stderr, exitCode } = await valetkey(['run', '--spec', '-', '--id', id], { env, input: spec([{ say: 'one' }]) });
  expect(exitCode).toBe(7);
  expect(stderr).toContain('Postgres does not answer');
  expect((await cli(['status', id])).exitCode).toBe(6);
});

test('a Postgres that is lost to a caller leaves its job running, and the caller is told how to follow it', async ({ onTestFinished }) => {
  const id = newId();
  const postgres = new URL(environment()['DATABASE_URL'] ?? '');
  const target = { host: postgres.hostname, port: Number(postgres.port) };
  const open = new Set<Socket>();
  const relay = createServer((near) => {
    open.add(near);
    void pipeline(near, connect(target), near, () => {});
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  onTestFinished(() => void relay.close());
  const address = relay.address();
  postgres.port = String(typeof address === 'object' && address !== null ? address.port : 0);
  const env = { ...environment(), DATABASE_URL: postgres.href };
  const input = spec([{ slow: { chunks: 30, everyMs: 100, text: 'w' } }, { say: 'one' }]);
  const running = valetkey(['run', '--spec', '-', '--id', id, '--json'], { env, input });
  const { client } = stack();
  await expect
    .poll(() =>
      client.jobs.status(id).then(
        ({ phase }) => phase,
        () => null,
      ),
    )
    .toBe('running');
  relay.close();
  for (const socket of open) socket.destroy();
  const { stderr, exitCode } = await running;
  expect(exitCode).toBe(7);
  expect(stderr).toContain(`valetkey events ${id}`);
  expect(stderr).toContain('Postgres does not answer');
  expect((await cli(['run', '--spec', '-', '--id', id, '--json'], input)).exitCode).toBe(0);
});
