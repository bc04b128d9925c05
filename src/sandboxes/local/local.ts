import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import getPort from 'get-port';

import { createHostProvider } from '../host/host-provider.ts';
import { readLimitsRecord } from '../host/limits-record.ts';
import { insidePaths, INSIDE_GATEWAY_PORT } from '../launch/inside.ts';
import { sandboxPaths } from '../launch/tools.ts';
import type { SandboxProvider } from '../sandbox.ts';
import { removeGroups } from './cgroup.ts';
import { checkHost } from './check-host.ts';
import { launchSandbox } from './launch.ts';
import { locateParts, type LocalProviderOptions } from './locate.ts';
import { killProcesses } from './processes.ts';

export type { LocalProviderOptions };

/**
 * Creates the provider of sandboxes on this host: the sandbox-agent server under bubblewrap, without a network, with the gateway’s
 * socket as its only way out.
 */
export function createLocalProvider(options: LocalProviderOptions): SandboxProvider {
  const { agents, socketDir: gatewayFolder } = options;
  return createHostProvider(options, {
    name: 'local',

    async prepare(request) {
      const { agent, isolation } = request;
      const located = await locateParts(options, agents[agent], isolation);
      const gatewayPort = isolation === 'none' ? await getPort({ host: '127.0.0.1' }) : INSIDE_GATEWAY_PORT;
      const caFile = options.egress?.caFile;
      return {
        gatewayPort,
        launch: (folder, limits) => launchSandbox(folder, { located, agent: agents[agent], gatewayFolder, caFile, request, limits }),
      };
    },

    paths({ home, workspace, gatewayPort }, isolation) {
      return sandboxPaths(isolation === 'none' ? { home, workspace, gatewayPort } : { ...insidePaths, gatewayPort });
    },

    kill: (job, folders, only) => killProcesses(only === undefined ? job : join(dirname(job), only), folders),
    removeRecords: removeGroupsOf,
    check: () => checkHost(options),
  });
}

/** Removes the control groups of a job’s sandboxes, whose processes have ended. `folder`: the job’s, with its incarnations. */
async function removeGroupsOf(folder: string): Promise<void> {
  for (const incarnation of await readdir(folder).catch(() => []))
    await removeGroups((await readLimitsRecord(join(folder, incarnation, 'limits.json')))?.groups ?? []);
}
