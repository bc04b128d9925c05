// Jobs in remote sandboxes, with the whole stack in front of the vendors' fakes.
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { withScript } from '../../../src/dev/scripted-model/script.ts';
import type { Stack } from '../../../src/dev/stack.ts';
import { expectEnded } from '../../helpers/ended.ts';
import { startRemoteCloud, type RemoteCloud } from '../../helpers/remote-cloud.ts';
import { expectNoSecrets } from '../../helpers/secrets.ts';
import { inMidTurn } from '../../helpers/slow-turn.ts';
import { jobSpec, testStack } from '../../helpers/stack.ts';

describe.each(['e2b', 'daytona'] as const)('with the provider %s', (provider) => {
  let remote: RemoteCloud;
  let stack: Stack;
  beforeAll(async () => {
    remote = await startRemoteCloud(provider);
    stack = await testStack({ environment: { ...remote.environment, VALETKEY_HEARTBEAT_INTERVAL: '1s' } });
    remote.useGateway(stack.config.gateway.socketDir);
  });
  afterAll(async () => {
    try {
      await expectNoSecrets(stack);
    } finally {
      await stack.stop();
      await remote.close();
    }
  });
  const sandbox = { provider };

  test.each(['codex', 'claude'] as const)('a job of %s changes a workspace over two turns and its patch comes out', async (agent) => {
    const { jobId } = await stack.client.jobs.submit(
      jobSpec({
        agent,
        sandbox,
        workspace: { files: { 'README.md': 'one\n', 'src/two.txt': 'two\n' } },
        prompts: [
          withScript('Change the workspace.', [
            { run: 'cat README.md && rm src/two.txt' },
            { write: { path: 'new.txt', content: 'three\n' } },
            { say: 'First done.' },
          ]),
          withScript('Go on.', [{ run: 'cat new.txt' }, { say: 'Second done.' }]),
        ],
        artifacts: ['new.txt'],
      }),
    );
    const result = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
    expect(result.turns.map(({ message }) => message)).toEqual(['First done.', 'Second done.']);
    const patch = String((await stack.client.jobs.artifact(jobId, 'patch'))?.content);
    expect(patch).toContain('new.txt');
    expect(patch).toContain('src/two.txt');
    expect(patch).not.toContain('README');
    expect(String((await stack.client.jobs.artifact(jobId, 'files/new.txt'))?.content)).toBe('three\n');
    expect(remote.ofJob(jobId)).toEqual([]);
  });

  test('what setup commands made is no work of the agent, and no secret is in what the vendor was asked', async () => {
    const { jobId } = await stack.client.jobs.submit(
      jobSpec({
        agent: 'mock',
        model: 'gpt-5.1-codex',
        sandbox,
        workspace: { files: { 'a.txt': 'a\n' }, setup: ['echo made > made.txt'] },
        prompts: ['!write own.txt own'],
      }),
    );
    const result = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
    const patch = String((await stack.client.jobs.artifact(jobId, 'patch'))?.content);
    expect(patch).toContain('own.txt');
    expect(patch).not.toContain('made.txt');
    expect(result.keys).toHaveLength(1);
    expect(JSON.stringify(remote.cloud.requests)).not.toMatch(/vk-[A-Za-z0-9]{20}/);
  });

  test('a job that is terminated in Temporal leaves no sandbox', async () => {
    const jobId = await inMidTurn(stack, 60, { sandbox });
    expect(remote.ofJob(jobId)).toHaveLength(1);
    const { address, namespace } = stack.temporal;
    const connection = await Connection.connect({ address });
    await new Client({ connection, namespace }).workflow.getHandle(jobId).terminate();
    await connection.close();
    await expect.poll(() => remote.ofJob(jobId).length, { timeout: 60_000 }).toBe(0);
  });

  test('a sandbox that the vendor ends between turns costs nothing: the work goes on in a new one', async () => {
    const { client } = stack;
    const { jobId } = await client.jobs.submit(
      jobSpec({ agent: 'mock', model: 'gpt-5.1-codex', sandbox, keepOpen: '2m', prompts: ['!write word heron'] }),
    );
    await expect.poll(async () => (await client.jobs.status(jobId)).phase, { timeout: 30_000 }).toBe('waiting');
    const [lost] = remote.ofJob(jobId);
    if (lost === undefined) throw new Error('The sandbox is missing.');
    await remote.cloud.kill(lost.id);
    await client.jobs.prompt(jobId, '!run cp word copy');
    await expect.poll(async () => (await client.jobs.status(jobId)).turn, { timeout: 30_000 }).toBe(2);
    await expect.poll(async () => (await client.jobs.status(jobId)).phase, { timeout: 30_000 }).toBe('waiting');
    expect(remote.ofJob(jobId).map(({ id }) => id)).not.toContain(lost.id);
    await client.jobs.cancel(jobId);
    const result = await expectEnded(stack, jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(result).toMatchObject({ sandboxLost: false, workspace: { complete: true } });
    const patch = String((await client.jobs.artifact(jobId, 'patch'))?.content);
    expect(patch).toContain('+heron');
    expect(patch).toContain('b/copy');
  });

  test('a sandbox that the vendor ends in mid-turn ends the job as lost', async () => {
    const jobId = await inMidTurn(stack, 60, { sandbox });
    for (const { id } of remote.ofJob(jobId)) await remote.cloud.kill(id);
    await expectEnded(stack, jobId, { outcome: 'failed', code: 'sandbox_lost' });
  });
});
