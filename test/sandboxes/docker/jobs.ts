import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import { describe, expect, test } from 'vitest';

import { SCHEDULED } from '../../../src/contract/schedules.ts';
import type { SweepInput, SweepReport } from '../../../src/contract/sweep.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { LABELS } from '../../../src/sandboxes/docker/container.ts';
import { containerName } from '../../../src/sandboxes/docker/containers.ts';
import { jobFolder } from '../../../src/sandboxes/host/folder.ts';
import type { TestEngine } from '../../helpers/docker/engine.ts';
import { expectEnded } from '../../helpers/ended.ts';
import { whyNoGvisor } from '../../helpers/gvisor.ts';
import { inMidTurn } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

const SANDBOX = { provider: 'docker' } as const;

/** Registers the tests of whole jobs in containers: worker, gateway, agents and engine are the real ones. */
export function describeDockerJobs({ engine, socketPath }: TestEngine, image: string): void {
  const containersOf = async (jobId: string): Promise<string[]> =>
    (await engine.listContainers({ all: true, filters: { label: [`${LABELS.job}=${jobId}`] } })).map(({ Id }) => Id);

  describe('a job in a container', () => {
    const stack = useStack({
      environment: { VALETKEY_DOCKER_IMAGE: image, DOCKER_HOST: `unix://${socketPath}`, VALETKEY_SWEEP_GRACE: '1s' },
    });

    test.for([
      ...(['mock', 'codex', 'claude'] as const).map((agent) => ({ agent, isolation: 'container' as const })),
      ...(['codex', 'claude'] as const).map((agent) => ({ agent, isolation: 'gvisor' as const })),
    ])(
      '$agent with the isolation $isolation changes a file, its patch comes out, and its key and its container end',
      async ({ agent, isolation }, { skip }) => {
        skip(isolation === 'gvisor' && whyNoGvisor() !== null, whyNoGvisor() ?? undefined);
        const { client } = stack();
        const prompt = withScript('Write it.', [
          ...[{ write: { path: 'made.txt', content: 'by the agent\n' } }, { run: 'uname -r > kernel.txt' }],
          { say: 'It is made.' },
        ]);
        const workspace = { files: { 'kept.txt': 'kept\n' } };
        const { jobId } = await client.jobs.submit(jobSpec({ agent, sandbox: { ...SANDBOX, isolation }, workspace, prompts: [prompt] }));
        const { turns } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
        expect(turns.map(({ message }) => message)).toEqual([expect.stringContaining('It is made.')]);
        const patch = await client.jobs.artifact(jobId, 'patch');
        expect(patch?.content.toString()).toContain('+by the agent');
        expect(patch?.content.toString().includes('-gvisor')).toBe(isolation === 'gvisor');
        expect(await containersOf(jobId)).toEqual([]);
      },
    );

    test('a container that is killed in mid-turn fails its job as lost, and nothing of it is left', async () => {
      const jobId = await inMidTurn(stack(), 60, { agent: 'mock', sandbox: SANDBOX });
      const [container = ''] = await containersOf(jobId);
      await engine.getContainer(container).kill();
      await expectEnded(stack(), jobId, { outcome: 'failed', code: 'sandbox_lost' });
      expect(await containersOf(jobId)).toEqual([]);
    });

    test('a container without its folder is found by the sweep, and one of a job that runs is left alone', async () => {
      const { client, config, temporal } = stack();
      const connection = await Connection.connect({ address: temporal.address });
      const { workflow } = new Client({ connection, namespace: temporal.namespace });
      const running = await inMidTurn(stack(), 60, { agent: 'mock', sandbox: SANDBOX });
      const [example = ''] = await containersOf(running);
      const { Config } = await engine.getContainer(example).inspect();
      const jobId = `lost-${crypto.randomUUID()}`;
      const labels = { ...Config.Labels, [LABELS.job]: jobId, [LABELS.sandbox]: `${'0'.repeat(20)}/1-8787-00000000` };
      const name = containerName(Config.Labels[LABELS.owner] ?? '', jobFolder('', jobId).slice(-20));
      await (
        await engine.createContainer({
          name,
          Image: image,
          Labels: labels,
          Entrypoint: ['sleep', '600'],
          HostConfig: { NetworkMode: 'none' },
        })
      ).start();
      const options = { taskQueue: config.taskQueue, args: [{ dryRun: false }] satisfies [SweepInput] };
      for (let sweeps = 0; (await containersOf(jobId)).length > 0; sweeps += 1) {
        expect(sweeps).toBeLessThan(10);
        await workflow.execute<(input: SweepInput) => Promise<SweepReport>>(SCHEDULED.sweep, {
          ...options,
          workflowId: `sweep-${crypto.randomUUID()}`,
        });
        await sleep(1_500);
      }
      expect(await containersOf(running)).toEqual([example]);
      await client.jobs.cancel(running);
      await expectEnded(stack(), running, { outcome: 'cancelled', code: 'cancelled' });
      await connection.close();
    });
  });
}
