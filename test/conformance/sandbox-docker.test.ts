import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';

import type { Isolation } from '../../src/contract/sandbox-provider.ts';
import { createDockerProvider } from '../../src/sandboxes/docker/docker.ts';
import type { DockerProviderOptions } from '../../src/sandboxes/docker/settings.ts';
import { startTestEngine, type TestEngine } from '../helpers/docker/engine.ts';
import { buildTestImage } from '../helpers/docker/image.ts';
import { describeWithGvisor } from '../helpers/gvisor.ts';
import { describeDockerEgress } from '../sandboxes/docker/egress.ts';
import { describeDockerJobs } from '../sandboxes/docker/jobs.ts';
import { describeOtherWorkers } from '../sandboxes/docker/other-workers.ts';
import { createDockerRig, type DockerRig } from '../sandboxes/docker/rig.ts';
import { startAndKillWorker } from '../sandboxes/start-worker.ts';
import { describeConfinement } from './confinement.ts';
import { describeSandboxProvider, type SandboxRig } from './sandbox.ts';

const NOBODY = 65_534;
const processesSchema = z.object({ Processes: z.array(z.array(z.string())) });
/** What the image has of its own. */
const OWN_PLACES = ['/root', '/etc/shadow', '/mnt', '/boot'];

/** The engine and the image, or the reason why this machine has none. */
const docker = await startDocker();
if (typeof docker === 'string') process.stderr.write(`Sandboxes of Docker are not tested on this machine: ${docker}.\n`);
const reason = typeof docker === 'string' ? `, not tested on this machine: ${docker}` : '';

describe.skipIf(typeof docker === 'string')(`sandboxes of Docker${reason}`, () => {
  test('what is checked before the first job finds nothing, or names what is missing', async () => {
    if (typeof docker === 'string') return;
    const rig = await createDockerRig(docker.testEngine, docker.image);
    const check = async (change: Partial<DockerProviderOptions>): Promise<string[]> =>
      ((await createDockerProvider({ ...rig.options, ...change }).check?.()) ?? []).map(({ message }) => message);
    expect(await check({})).toEqual([]);
    expect(await check({ image: 'nobody/has-it:1' })).toEqual([expect.stringMatching(/has no image nobody\/has-it:1: build it/)]);
    expect(await check({ socketPath: join(rig.options.baseDir, 'none.sock') })).toEqual([
      expect.stringMatching(/cannot be reached.*DOCKER_HOST/),
    ]);
    await rig.close();
  });

  test('an engine without a runtime that can do it refuses a job under gVisor at once, and starts nothing in its place', async () => {
    if (typeof docker === 'string') return;
    const rig = await createDockerRig(docker.testEngine, docker.image);
    const provider = createDockerProvider({ ...rig.options, gvisorRuntime: 'no-such-runtime' });
    const start = provider.start({ jobId: 'no-runtime', agent: 'mock', isolation: 'gvisor' });
    const message = expect.stringMatching(/no runtime no-such-runtime: .*VALETKEY_DOCKER_GVISOR_RUNTIME/) as unknown;
    await expect(start).rejects.toMatchObject({ code: 'isolation_unavailable', message });
    expect(await rig.remains('no-runtime')).toEqual([]);
    expect(await provider.check?.()).toMatchObject([{ code: 'isolation_unavailable', message }]);
    await rig.close();
  });

  if (typeof docker === 'string') return;
  const { testEngine, image } = docker;
  afterAll(() => testEngine.stop());
  const start = (): Promise<DockerRig> => createDockerRig(testEngine, image);
  const abilities = { isHostBound: true, hasLimits: true, endsAtExpiry: true, reportsLimits: true, isolates: true, failsAlone: true };
  describeSandboxProvider('docker', async () => suiteRig(testEngine, await start(), 'container'), abilities);
  describeConfinement('docker', 'container', async () => ({ ...(await start()), ownPlaces: OWN_PLACES }));
  describeWithGvisor(() => {
    describeSandboxProvider('docker under gVisor', async () => suiteRig(testEngine, await start(), 'gvisor'), {
      ...abilities,
      failsAlone: false,
    });
    test('a runtime without what sandboxes need is refused, and what it lacks is named', async () => {
      const rig = await start();
      const provider = createDockerProvider({ ...rig.options, gvisorRuntime: 'runsc-bare' });
      const refused = provider.start({ jobId: 'bare', agent: 'mock', isolation: 'gvisor' });
      const message = expect.stringContaining('lacks --host-uds=all and --overlay2=none') as unknown;
      await expect(refused).rejects.toMatchObject({ code: 'isolation_unavailable', message });
      await rig.close();
    });
    describeConfinement('docker under gVisor', 'gvisor', async () => ({ ...(await start()), ownPlaces: OWN_PLACES }));
  });
  describeDockerEgress(testEngine, image);
  describeDockerJobs(testEngine, image);
  describeOtherWorkers(testEngine, image);
});

async function startDocker(): Promise<{ testEngine: TestEngine; image: string } | string> {
  const testEngine = await startTestEngine();
  if (typeof testEngine === 'string') return testEngine;
  const built = await buildTestImage(testEngine.engine);
  if (typeof built === 'string') {
    await testEngine.stop();
    return built;
  }
  return { testEngine, image: built.image };
}

function suiteRig({ engine }: TestEngine, rig: DockerRig, isolation: Isolation): SandboxRig {
  const { options } = rig;
  return {
    ...rig,
    isolation,
    colleague: createDockerProvider(options),
    stranger: createDockerProvider({ ...options, owner: 'default/stranger' }),
    startElsewhere: (jobId) => startAndKillWorker('docker', options, { jobId, isolation }),
    kill: async (handle) => void (await engine.getContainer(await rig.containerOf(handle)).kill()),
    visible: async (handle) => {
      const container = engine.getContainer(await rig.containerOf(handle));
      const record = await container.inspect();
      // Of a container under gVisor the engine names the processes as they are inside, and the host sees only gVisor’s.
      const pids =
        isolation === 'gvisor' ? [record.State.Pid] : processesSchema.parse(await container.top({ ps_args: '-eo pid' })).Processes.flat();
      const files = pids.flatMap((pid) => [`/proc/${pid}/environ`, `/proc/${pid}/cmdline`]);
      const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
      return [JSON.stringify(record), ...texts].join('\n');
    },
    intrude: async ({ id }) => {
      const socket = join(rig.folderOf(id), 'run/agent.sock');
      const identity = { uid: NOBODY, gid: NOBODY, cwd: '/' };
      const { failed } = await execa('curl', ['-sf', '--unix-socket', socket, 'http://sandbox/v1/health'], { ...identity, reject: false });
      return !failed;
    },
  };
}
