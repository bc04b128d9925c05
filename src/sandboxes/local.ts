import { execFile } from 'node:child_process';
import { lstat, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import getPort from 'get-port';

import { agents } from '../agents/index.ts';
import type { Isolation } from '../job/spec.ts';
import { insidePaths, INSIDE_GATEWAY_PORT } from './local/bubblewrap.ts';
import { connectTo } from './local/connection.ts';
import { claimedFolder, claimFolder, freeFolder, isCode, jobFolder, sandboxFolder, type SandboxFolder } from './local/folder.ts';
import { isHealthy, launchSandbox, START_TIMEOUT_MS, untilHealthy } from './local/launch.ts';
import { locate, type LocalProviderOptions, type Located } from './local/locate.ts';
import { endProcesses, isRunning, processesIn, recordedProcess } from './local/processes.ts';
import { pathsOf } from './local/tools.ts';
import type { SandboxConnection, SandboxHandle, SandboxProvider } from './sandbox.ts';

export type { LocalProviderOptions };

/** Sandboxes on this host: the sandbox-agent server under bubblewrap, without a network, the gateway's socket its only way out. */
export function createLocalProvider(options: LocalProviderOptions): SandboxProvider {
  const { stateDir, socketDir, hostTaskQueue } = options;

  const toHandle = ({ id }: SandboxFolder, isolation: Isolation): SandboxHandle => ({ provider: 'local', id, isolation, hostTaskQueue });

  const provider: SandboxProvider = {
    name: 'local',

    async start({ jobId, agent: name, isolation }, signal) {
      const agent = agents[name];
      let located: Located | undefined;
      for (;;) {
        signal?.throwIfAborted();
        const claimed = await claimedFolder(stateDir, jobId);
        if (claimed !== undefined) {
          const { folder, ageMs } = claimed;
          if (folder !== undefined && (await answers(folder, isolation))) return toHandle(folder, isolation);
          if (ageMs < START_TIMEOUT_MS && (await isStarting(folder))) await delay(25);
          else await provider.stop(jobId);
          continue;
        }
        located ??= await locate(options, agent, isolation);
        const folder = await claimFolder(stateDir, jobId, isolation === 'none' ? await getPort({ host: '127.0.0.1' }) : INSIDE_GATEWAY_PORT);
        if (folder === undefined) continue;
        const connection = connect(folder, isolation);
        try {
          await untilHealthy(await launchSandbox(folder, located, agent, socketDir), connection, folder, signal);
          return toHandle(folder, isolation);
        } catch (error) {
          await provider.stop(jobId);
          throw error;
        } finally {
          await connection.close();
        }
      }
    },

    connect({ id, isolation }) {
      return connect(sandboxFolder(stateDir, id), isolation);
    },

    async isAlive({ id, isolation }) {
      const folder = sandboxFolder(stateDir, id);
      if (folder === undefined) return false;
      return isolation === 'none' ? (await processesIn(folder.path)).members.length > 0 : (await recordedProcess(folder.record)) !== undefined;
    },

    async stop(jobId) {
      const folders = await freeFolder(stateDir, jobId);
      await endProcesses(jobFolder(stateDir, jobId), folders);
      for (const folder of folders) await remove(folder);
    },
  };
  return provider;
}

/** A folder that is not one of ours is connected to like one whose sandbox has ended. */
function connect(folder: SandboxFolder | undefined, isolation: Isolation): SandboxConnection {
  const { home = '', workspace = '', gatewayPort = 0 } = folder ?? {};
  return connectTo(folder?.socket ?? '', pathsOf(isolation === 'none' ? { home, workspace, gatewayPort } : { ...insidePaths, gatewayPort }));
}

async function answers(folder: SandboxFolder, isolation: Isolation): Promise<boolean> {
  const connection = connect(folder, isolation);
  try {
    return await isHealthy(connection);
  } finally {
    await connection.close();
  }
}

/** Somebody is at it: no socket yet, and whoever claimed the folder lives. */
async function isStarting(folder: SandboxFolder | undefined): Promise<boolean> {
  if (folder === undefined) return true;
  return isRunning(folder.ownerPid) && !(await lstat(folder.socket).catch(() => undefined));
}

async function remove(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    if (!isCode(error, 'EACCES')) throw error;
    // Caches of some tools are read-only folders.
    await promisify(execFile)('chmod', ['-R', 'u+rwX', folder]);
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
