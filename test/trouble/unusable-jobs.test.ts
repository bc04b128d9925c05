import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { agents } from '../../src/agents/index.ts';
import type { FailureCode } from '../../src/contract/errors.ts';
import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { withScript } from '../../src/dev/scripted-model/script.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { createSandboxes } from '../../src/sandboxes/index.ts';
import type { SandboxProvider } from '../../src/sandboxes/sandbox.ts';
import type { Adapters } from '../../src/worker/start.ts';
import { expectEnded } from '../helpers/ended.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const stack = useStack({ adapt: withPoorHost });

/** The sandbox of the job `no-adapter` is started where Codex's adapter is not installed. */
function withPoorHost(adapters: Adapters): Adapters {
  const { local } = adapters.sandboxes;
  const start: SandboxProvider['start'] = async (request, signal) =>
    (request.jobId === 'no-adapter' ? withoutAdapter(stack()) : local).start(request, signal);
  return { ...adapters, sandboxes: { local: { ...local, start } } };
}

function withoutAdapter({ config: { stateDir, gateway, path, taskQueue } }: Stack): SandboxProvider {
  const codex = { ...agents.codex, package: { name: '@valetkey/no-such-adapter', version: '1.0.0' } };
  const options = { owner: taskQueue, stateDir, socketDir: gateway.socketDir, agentsDir: undefined, path, hostTaskQueue: taskQueue };
  return createSandboxes({ local: { ...options, agents: { ...agents, codex } } }).local;
}

test('a job whose agent has no adapter on the host fails by that, and says what to install', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec(), { id: 'no-adapter' });
  const { failure, usage } = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'agent_not_installed' });
  expect(failure?.message).toContain('npm install @valetkey/no-such-adapter@');
  expect(usage.requests).toBe(0);
});

describe('a workspace', () => {
  const nowhere: [string, FailureCode, (folder: string) => JobSpecInput['workspace']][] = [
    ['that nobody serves', 'git_unreachable', () => ({ git: 'http://127.0.0.1:9/none.git' })],
    ['whose folder is not there', 'workspace_failed', (folder) => ({ path: join(folder, 'none') })],
    ['whose ref is not there', 'git_ref_not_found', (folder) => ({ path: folder, ref: 'none' })],
  ];
  test.each(nowhere)('%s fails the job by that', async (_what, code, workspace) => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec({ workspace: workspace(await repository()) }));
    const { keys, usage } = await expectEnded(stack(), jobId, { outcome: 'failed', code });
    expect({ keys: keys.length, requests: usage.requests }).toEqual({ keys: 1, requests: 0 });
  });

  test('of a repository is what was committed under the ref that the job names', async () => {
    const { client } = stack();
    const workspace = { path: await repository(), ref: 'old' };
    const { jobId } = await client.jobs.submit(jobSpec({ workspace, prompts: [withScript('Add.', [{ run: 'echo more >> note.txt' }])] }));
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(String((await client.jobs.artifact(jobId, 'patch'))?.content)).toContain(' old\n+more\n');
  });
});

test('a budget that is smaller than any request lets one through, and the next one fails the job', async () => {
  const { client } = stack();
  const prompts = [withScript('Work.', [{ run: 'true' }, { say: 'Done.' }])];
  const { jobId } = await client.jobs.submit(jobSpec({ budgetUsd: 1e-6, prompts }));
  const { usage } = await expectEnded(stack(), jobId, { outcome: 'failed', code: 'budget_exhausted' });
  expect(usage.requests).toBe(1);
  expect(usage.usd).toBeGreaterThan(1e-6);
});

/** Two commits of `note.txt`: `old`, which is the tag of the first one, and `new`. */
async function repository(): Promise<string> {
  const folder = join(await temporaryFolder(), 'repository');
  await mkdir(folder);
  const git = async (...args: string[]) =>
    execa('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], { cwd: folder });
  await git('init', '--quiet');
  for (const text of ['old', 'new']) {
    await execa('sh', ['-c', `echo ${text} > note.txt`], { cwd: folder });
    await git('add', '--all');
    await git('commit', '--quiet', '--message', text);
    if (text === 'old') await git('tag', 'old');
  }
  return folder;
}
