import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import pLimit from 'p-limit';

import type { Isolation } from '../../contract/sandbox-provider.ts';
import { exists } from '../../system/exists.ts';
import { createHostProvider } from '../host/host-provider.ts';
import { insidePaths, INSIDE_GATEWAY_PORT } from '../launch/inside.ts';
import { sandboxPaths } from '../launch/tools.ts';
import { createOpenFolder } from '../local/readable.ts';
import type { SandboxProvider } from '../sandbox.ts';
import { checkEngine } from './check-engine.ts';
import { containerName, findContainer, listContainers, removeContainer } from './containers.ts';
import { openEngine, type Engine } from './engine.ts';
import { DEFAULT_GVISOR_RUNTIME, requireGvisorRuntime } from './gvisor-runtime.ts';
import { readImage } from './images.ts';
import { launchContainer } from './launch.ts';
import type { DockerProviderOptions } from './settings.ts';

/**
 * Creates the provider of sandboxes in containers of this host's Docker Engine: without a network, with the gateway's socket as their only
 * way out, and with their files in folders of this host.
 */
export function createDockerProvider(options: DockerProviderOptions): SandboxProvider {
  const { agents, owner, baseDir, socketPath, engineStateDir, maxConcurrentStarts } = options;
  let opened: Promise<Engine> | undefined;
  const engine = async (): Promise<Engine> => await (opened ??= openEngine(socketPath));
  const limit = pLimit(maxConcurrentStarts);
  const engineView = (path: string): string => (engineStateDir === undefined ? path : join(engineStateDir, path.slice(baseDir.length)));
  const runtimeOf = (isolation: Isolation): string | null =>
    isolation === 'gvisor' ? (options.gvisorRuntime ?? DEFAULT_GVISOR_RUNTIME) : null;
  const nameOf = (job: string): string => containerName(owner, basename(job));

  return createHostProvider(options, {
    name: 'docker',

    async prepare(request) {
      await prepareFolders(options);
      const { path } = await readImage(await engine(), options.image);
      const runtime = runtimeOf(request.isolation);
      if (runtime !== null) await requireGvisorRuntime(await engine(), runtime);
      const agent = agents[request.agent];
      return {
        gatewayPort: INSIDE_GATEWAY_PORT,
        launch: async (folder, limits) => {
          const launch = {
            ...options,
            engine: await engine(),
            name: nameOf(dirname(folder.path)),
            agent,
            request,
            limits,
            runtime,
            imagePath: path,
          };
          return limit(() => launchContainer(folder, { ...launch, engineView }));
        },
      };
    },

    paths: ({ gatewayPort }) => sandboxPaths({ ...insidePaths, gatewayPort }),

    async kill(job, folders, only) {
      const container = await findContainer(await engine(), nameOf(job));
      if (container === null || (only !== undefined && container.sandbox !== only)) return;
      // A job whose claim was released may have a newer sandbox by now, whose folder is there under its own name.
      if (!folders.includes(job) && (await exists(join(dirname(job), container.sandbox)))) return;
      await removeContainer(await engine(), container.id);
    },

    listRunning: async () => listContainers(await engine(), owner),
    check: async () => checkEngine(engine, options),
  });
}

/** The engine, which is root, mounts what is in these folders; nobody else of the host enters that of the sandboxes. */
async function prepareFolders({ baseDir, stateDir, socketDir }: DockerProviderOptions): Promise<void> {
  await createOpenFolder(baseDir);
  await createOpenFolder(socketDir);
  await mkdir(join(stateDir, 'jobs'), { recursive: true, mode: 0o700 });
}
