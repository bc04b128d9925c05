import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { createDockerProvider } from '../../../src/sandboxes/docker/docker.ts';
import type { DockerProviderOptions } from '../../../src/sandboxes/docker/settings.ts';
import type { TestEngine } from '../../helpers/docker/engine.ts';
import { root } from '../../repository/root.ts';
import { run } from '../rig.ts';
import { STARTER } from '../start-worker.ts';
import { createDockerRig } from './rig.ts';

const REQUEST = { jobId: 'of-another-worker', isolation: 'container' } as const;

/** Registers the tests of workers that see other paths than the engine. */
export function describeOtherWorkers(testEngine: TestEngine, image: string): void {
  describe('a worker elsewhere', () => {
    test('in a container of its own starts a sandbox by the paths of the engine', async () => {
      const rig = await createDockerRig(testEngine, image);
      const { baseDir } = rig.options;
      const inContainer = (path: string): string => path.replace(baseDir, '/state');
      const { stateDir, socketDir } = rig.options;
      const options = { ...rig.options, baseDir: '/state', stateDir: inContainer(stateDir), socketDir: inContainer(socketDir) };
      const worker = await testEngine.engine.createContainer({
        Image: image,
        User: '0:0',
        Entrypoint: ['/opt/node/bin/node', ...argumentsOf({ ...options, socketPath: '/engine.sock', engineStateDir: baseDir })],
        HostConfig: { NetworkMode: 'none', Binds: [`${root}:${root}:ro`, `${baseDir}:/state`, `${testEngine.socketPath}:/engine.sock`] },
      });
      await worker.start();
      const listed = await untilListed(rig.options);
      const sandbox = rig.provider.connect({ provider: 'docker', id: listed, isolation: 'container', hostTaskQueue: null });
      await expect.poll(async () => run(sandbox, 'cat ~/written; echo there > ~/written').catch(() => '')).toBe('there\n');
      await sandbox.close();
      await worker.remove({ force: true });
      await rig.provider.stop(REQUEST.jobId);
      expect(await rig.remains(REQUEST.jobId)).toEqual([]);
      await rig.close();
    });
  });
}

/** Resolves to the id of the job's sandbox once it is listed. */
async function untilListed(options: DockerProviderOptions): Promise<string> {
  const provider = createDockerProvider(options);
  for (let tries = 0; tries < 600; tries += 1) {
    const found = (await provider.list()).find(({ jobId }) => jobId === REQUEST.jobId);
    if (found !== undefined) return found.id;
    await sleep(50);
  }
  throw new Error('The worker started no sandbox.');
}

function argumentsOf(options: DockerProviderOptions): string[] {
  return [STARTER, 'docker', JSON.stringify(options), JSON.stringify(REQUEST)];
}
