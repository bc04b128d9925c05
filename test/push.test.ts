/** The work of a completed job is on a branch of its repository, once, and its result says so; what keeps it from there is in the result, too. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';
import { expect, onTestFinished, test } from 'vitest';

import type { JobEvent } from '../src/contract/events.ts';
import type { JobResult } from '../src/contract/result.ts';
import type { JobSpecInput } from '../src/contract/spec-input.ts';
import { withScript } from '../src/dev/scripted-model/index.ts';
import type { Stack } from '../src/dev/stack.ts';
import { seal } from '../src/secrets/seal.ts';
import { generateSealingKey } from '../src/secrets/sealing-key.ts';
import { valetkey } from './cli/valetkey.ts';
import { expectEnded } from './helpers/ended.ts';
import { processStack } from './helpers/process-stack.ts';
import { findSecrets } from './helpers/secrets.ts';
import { jobSpec, useStack } from './helpers/stack.ts';
import { temporaryFolder } from './helpers/temporary-folder.ts';
import { certificateFor } from './sandboxes/egress/certificate.ts';
import { startGitServer, type GitServer, type GitServerOptions } from './workspace/git-server.ts';
import { sh } from './workspace/rig.ts';

const TOKEN = 'made-up-token-for-tests';
const stack = useStack();

const run = (command: string): string => withScript(`Run ${command}`, [{ run: command }, { say: 'Done.' }]);

async function gitServer(options?: GitServerOptions): Promise<GitServer> {
  const server = await startGitServer(options);
  onTestFinished(() => server.close());
  return server;
}

const pushing = ({ url }: GitServer, command: string, change: Partial<JobSpecInput> = {}): JobSpecInput =>
  jobSpec({ agent: 'mock', prompts: [run(command)], workspace: { git: url, push: { branch: 'agent/fix' } }, ...change });

async function eventsOf(jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of stack().client.jobs.events(jobId)) events.push(event);
  return events;
}

const warningsOf = (events: readonly JobEvent[]): string[] => events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));

async function branches({ folder }: GitServer): Promise<string> {
  return sh(folder, 'git for-each-ref --format="%(refname:short) %(objectname)"');
}

/** Ends a job that completes, and returns what became of its push. */
async function pushOf(spec: JobSpecInput): Promise<{ jobId: string; push: JobResult['push'] }> {
  const { jobId } = await stack().client.jobs.submit(spec);
  const { push } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  return { jobId, push };
}

test('the branch holds what the patch makes of the start; result, event and command line name the commit', async () => {
  const server = await gitServer();
  const { config, temporal } = stack();
  const env = {
    DATABASE_URL: config.databaseUrl ?? '',
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: config.taskQueue,
  };
  const flags = ['--tenant', 'acme', '--agent', 'mock', '--model', 'gpt-5.1-codex', '--budget', '1', '--id', 'pushes', '--git', server.url];
  const { stdout, stderr } = await valetkey(['run', ...flags, '--prompt', run('echo new > b.txt; rm a.txt'), '--push', 'agent/fix'], {
    env,
  });
  const { push } = await expectEnded(stack(), 'pushes', { outcome: 'completed', code: null });
  const commit = (await sh(server.folder, 'git rev-parse agent/fix')).trim();
  expect({ push, stderr }).toEqual({ push: { branch: 'agent/fix', commit, failure: null }, stderr: '' });
  expect(await sh(server.folder, 'git log --format=%s agent/fix && git ls-tree --name-only agent/fix')).toBe(
    'Work of job pushes\nfirst\nb.txt',
  );
  expect(await eventsOf('pushes')).toContainEqual(expect.objectContaining({ type: 'branch.pushed', branch: 'agent/fix', commit }));
  expect(stdout).toContain(`pushed   agent/fix at ${commit}`);
  expect(stdout).toContain(`agent/fix pushed at ${commit}`);
  expect((await valetkey(['status', 'pushes'], { env })).stdout).toMatch(new RegExp(`^pushed +agent/fix at ${commit}$`, 'm'));
});

test('a job that hibernated pushes its last state when it ends', async () => {
  const server = await gitServer();
  const { client } = stack();
  const { jobId } = await client.jobs.submit(pushing(server, 'echo one > one', { keepOpen: '4s', hibernateAfter: '1s' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
  await client.jobs.prompt(jobId, run('echo two > two'));
  await expect.poll(async () => (await client.jobs.status(jobId)).turn).toBe(2);
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('hibernated');
  expect(await branches(server)).not.toContain('agent/fix');
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(await sh(server.folder, 'git ls-tree --name-only agent/fix')).toBe('a.txt\none\ntwo');
});

test('a job that changed nothing pushes nothing, and that is no failure', async () => {
  const server = await gitServer();
  const before = await branches(server);
  const { jobId, push } = await pushOf(pushing(server, 'true'));
  expect(push).toEqual({ branch: 'agent/fix', commit: null, failure: null });
  expect(warningsOf(await eventsOf(jobId))).toEqual([]);
  expect(await branches(server)).toBe(before);
});

test('a cancelled job pushes nothing, and its patch is there', async () => {
  const server = await gitServer();
  const { client } = stack();
  const { jobId } = await client.jobs.submit(pushing(server, 'echo x > new', { keepOpen: '1m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  await client.jobs.cancel(jobId);
  const { push, artifacts } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  expect(push).toMatchObject({ commit: null, failure: { code: 'cancelled' } });
  expect(artifacts.map(({ name }) => name)).toContain('patch');
  expect(await branches(server)).not.toContain('agent/fix');
});

test('work that the patch does not hold whole is not pushed, and a named file that is missing keeps nothing back', async () => {
  const server = await gitServer();
  const { push } = await pushOf(pushing(server, 'head -c 12000000 /dev/urandom > large; echo x > new'));
  expect(push).toMatchObject({ commit: null, failure: { code: 'push_incomplete' } });
  expect(await branches(server)).not.toContain('agent/fix');
  const other = await pushOf(pushing(server, 'head -c 6000000 /dev/urandom > large; echo x > new', { artifacts: ['report.pdf'] }));
  expect(other.push).toMatchObject({ commit: expect.any(String) as unknown, failure: null });
});

test.each([
  ['a branch with other commits', 'git branch agent/fix "$(git commit-tree "main^{tree}" -m other)"', 'branch_exists'],
  [
    'a hook of the server that refuses it',
    'printf "#!/bin/sh\\nexit 1" > hooks/pre-receive && chmod +x hooks/pre-receive',
    'push_rejected',
  ],
  ['a server that takes no pushes', 'git config http.receivepack false', 'git_forbidden'],
])('with %s the job has completed, and result and warning say why nothing was pushed', async (_what, script, code) => {
  const server = await gitServer();
  await sh(server.folder, script);
  const before = await branches(server);
  const { jobId, push } = await pushOf(pushing(server, 'echo x > new'));
  expect(push).toMatchObject({
    branch: 'agent/fix',
    commit: null,
    failure: { code, message: expect.stringContaining('agent/fix') as unknown },
  });
  expect(warningsOf(await eventsOf(jobId))).toEqual([code]);
  expect(await branches(server)).toBe(before);
});

test('a server that fails for a moment is asked again', async () => {
  let failures = 0;
  let isFailing = false;
  const server = await gitServer({
    onPack: () => {
      if (!isFailing) return Promise.resolve();
      failures += 1;
      return Promise.reject(new Error('the server fails'));
    },
  });
  const { client } = stack();
  const { jobId } = await client.jobs.submit(pushing(server, 'echo x > new'));
  for await (const { type } of client.jobs.events(jobId)) {
    if (type === 'turn.started') isFailing = true;
    if (type === 'sandbox.stopped') break;
  }
  await expect.poll(() => failures).toBeGreaterThan(0);
  isFailing = false;
  const { push } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(push).toMatchObject({ commit: (await sh(server.folder, 'git rev-parse agent/fix')).trim(), failure: null });
});

test('a token that nobody can open fails the job before its work', async () => {
  const { publicKey } = await generateSealingKey();
  const token = await seal(TOKEN, { tenant: 'acme', purpose: 'git-token', publicKey });
  const workspace = { git: 'https://127.0.0.1:9/shop.git', push: { branch: 'agent/fix', token } };
  const { jobId } = await stack().client.jobs.submit(jobSpec({ agent: 'mock', workspace }));
  const { push } = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'sealed_unreadable' });
  expect(push).toMatchObject({ commit: null, failure: { code: 'sealed_unreadable' } });
});

test('a worker that is killed once the server has the commit: the next one finds it there, and the token is nowhere', async (context) => {
  const { privateKey, publicKey } = await generateSealingKey();
  const certificate = await certificateFor('localhost');
  const ca = join(await temporaryFolder(), 'ca.pem');
  await writeFile(ca, certificate.cert);
  const pushed = Promise.withResolvers<void>();
  const killed = Promise.withResolvers<void>();
  const authorization = `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString('base64')}`;
  const server = await gitServer({
    certificate,
    authorization,
    onPushed: async (bytes) => {
      // git first asks with four bytes whether it may send more.
      if (bytes <= 4) return true;
      pushed.resolve();
      await killed.promise;
      return false;
    },
  });
  const processes = await processStack(context, { environment: { NODE_EXTRA_CA_CERTS: ca, VALETKEY_SEALING_KEY: privateKey } });
  const sealed = async (token: string) => seal(token, { tenant: 'acme', purpose: 'git-token', publicKey });
  const workspace = { git: server.url, gitToken: await sealed(TOKEN), push: { branch: 'agent/fix', token: await sealed(TOKEN) } };
  const { jobId } = await processes.client.jobs.submit(pushing(server, 'echo x > new; env; cat .git/config', { workspace }));
  await pushed.promise;
  await processes.worker.kill('SIGKILL');
  killed.resolve();
  const commit = (await sh(server.folder, 'git rev-parse agent/fix')).trim();
  await processes.worker.start();
  const { push } = await expectEnded(processes, jobId, { outcome: 'completed', code: null });
  expect(push).toEqual({ branch: 'agent/fix', commit, failure: null });
  expect(await attemptsAtPush(processes, jobId)).toBe(2);
  // What the killed one left there is removed as well.
  expect(await readdir(join(processes.config.stateDir, 'push'))).toEqual([]);
  expect(await findSecrets(processes, [TOKEN, privateKey])).toEqual([]);
});

async function attemptsAtPush({ temporal: { address, namespace } }: Stack, jobId: string): Promise<number | null | undefined> {
  const connection = await Connection.connect({ address });
  const { events } = await new Client({ connection, namespace }).workflow.getHandle(jobId).fetchHistory();
  await connection.close();
  const scheduled = events?.find((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'pushBranch');
  const started = events?.find(
    ({ activityTaskStartedEventAttributes: start }) => start && String(start.scheduledEventId) === String(scheduled?.eventId),
  );
  return started?.activityTaskStartedEventAttributes?.attempt;
}
