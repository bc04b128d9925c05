// A worker that is lost while it drives a remote sandbox: any other goes on with it. And what all workers have lost, the sweep ends.
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { expectEnded } from '../../helpers/ended.ts';
import { processStack } from '../../helpers/process-stack.ts';
import { startRemoteCloud } from '../../helpers/remote-cloud.ts';
import { inMidTurn, slowly, words } from '../../helpers/slow-turn.ts';
import { jobSpec } from '../../helpers/stack.ts';

describe.each(['e2b', 'daytona'] as const)('at %s', (provider) => {
  test('a worker that is killed in mid-turn costs no prompt, no event and no answer', async (context) => {
    const remote = await startRemoteCloud(provider);
    context.onTestFinished(() => remote.close());
    const stack = await processStack(context, { environment: remote.environment });
    remote.useGateway(stack.config.gateway.socketDir);
    const jobId = await inMidTurn(stack, 25, { sandbox: { provider }, prompts: [slowly(25), slowly(1)] });
    const [{ id } = { id: '' }] = remote.ofJob(jobId);
    await stack.worker.kill('SIGKILL');
    await stack.worker.start();
    const { turns } = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
    expect(turns.map(({ message }) => message)).toEqual([words(25), words(1)]);
    expect(stack.model?.served.filter(({ usd }) => usd !== null && usd > 0)).toHaveLength(2);
    const seqs: number[] = [];
    const started: string[] = [];
    for await (const event of stack.client.jobs.events(jobId, { follow: false })) {
      seqs.push(event.seq);
      if (event.type === 'sandbox.started') started.push(event.sandbox);
    }
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    expect(started).toEqual([id]);
    expect(remote.ofJob(jobId)).toEqual([]);
  });

  test('a sandbox without a job is ended by the sweep, also one that is paused, and that of a running job is not', async (context) => {
    const remote = await startRemoteCloud(provider);
    context.onTestFinished(() => remote.close());
    const stack = await processStack(context, { environment: { ...remote.environment, VALETKEY_SWEEP_GRACE: '1s' } });
    remote.useGateway(stack.config.gateway.socketDir);
    const { jobId } = await stack.client.jobs.submit(
      jobSpec({ agent: 'mock', model: 'gpt-5.1-codex', sandbox: { provider }, prompts: ['!say hello'], keepOpen: '10m' }),
    );
    await expect.poll(() => remote.ofJob(jobId).length, { timeout: 30_000 }).toBe(1);
    const [running] = remote.ofJob(jobId);
    if (running === undefined) throw new Error('The sandbox is missing.');
    for (const orphan of ['orphan-1', 'orphan-2']) {
      const labels = Object.fromEntries(Object.entries(running.labels).map(([name, value]) => [name, value === jobId ? orphan : value]));
      const sandbox = await remote.cloud.create({ ...running, name: orphan, labels }, 600_000, true);
      sandbox.state = orphan === 'orphan-1' ? running.state : 'paused';
    }
    await sleep(1_500);
    await stack.client.sweep();
    await sleep(1_500);
    await stack.client.sweep();
    expect(remote.ofJob('orphan-1')).toEqual([]);
    expect(remote.ofJob('orphan-2')).toEqual([]);
    expect(remote.ofJob(jobId).map(({ id }) => id)).toEqual([running.id]);
    await stack.client.jobs.cancel(jobId);
    await expectEnded(stack, jobId, { outcome: 'cancelled', code: 'cancelled' });
  });
});
