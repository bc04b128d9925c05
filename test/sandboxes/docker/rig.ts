import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { agents } from '../../../src/agents/index.ts';
import { LABELS } from '../../../src/sandboxes/docker/container.ts';
import { createDockerProvider } from '../../../src/sandboxes/docker/docker.ts';
import type { DockerProviderOptions } from '../../../src/sandboxes/docker/settings.ts';
import type { EgressOptions } from '../../../src/sandboxes/egress/egress.ts';
import type { SandboxHandle, SandboxProvider } from '../../../src/sandboxes/sandbox.ts';
import type { TestEngine } from '../../helpers/docker/engine.ts';
import { startHostStub } from '../rig.ts';

export interface DockerRig {
  options: DockerProviderOptions;
  provider: SandboxProvider;
  requests: string[];
  folderOf(id: string): string;
  /** The id of a sandbox's container. */
  containerOf(handle: Pick<SandboxHandle, 'id'>): Promise<string>;
  /** Lists the containers and folders of a job's sandboxes. */
  remains(jobId: string): Promise<string[]>;
  close(): Promise<void>;
}

/** A provider on an engine of the tests, with a state directory of its own and a gateway that answers `gateway` to everything. */
export async function createDockerRig(
  { engine, socketPath }: Pick<TestEngine, 'engine' | 'socketPath'>,
  image: string,
  egress?: EgressOptions,
): Promise<DockerRig> {
  const { stateDir: baseDir, socketDir, requests, remember, close } = await startHostStub();
  const stateDir = join(baseDir, 'docker');
  const options: DockerProviderOptions = {
    ...{ agents, owner: 'default/tests', baseDir, stateDir, socketDir, image, socketPath },
    ...{ hostTaskQueue: 'host-of-tests', engineStateDir: undefined, gvisorRuntime: undefined, maxConcurrentStarts: 4 },
    ...(egress === undefined ? {} : { egress }),
  };
  const containers = async (label: string): Promise<string[]> =>
    (await engine.listContainers({ all: true, filters: { label: [label] } })).map(({ Id }) => Id);
  return {
    options,
    provider: remember(createDockerProvider(options)),
    requests,
    folderOf: (id) => join(stateDir, 'jobs', id),
    containerOf: async ({ id }) => {
      const [container] = await containers(`${LABELS.sandbox}=${id}`);
      if (container === undefined) throw new Error(`There is no container of ${id}.`);
      return container;
    },
    remains: async (jobId) => {
      const folder = createHash('sha256').update(jobId).digest('hex').slice(0, 20);
      const folders = await readdir(join(stateDir, 'jobs')).catch(() => []);
      return [...folders.filter((name) => name.startsWith(folder)), ...(await containers(`${LABELS.job}=${jobId}`))];
    },
    close,
  };
}
