import { execFile } from 'node:child_process';
import { lstat, readdir, rm } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import getPort from 'get-port';

import { ValetkeyError } from '../../contract/errors.ts';
import { decideLimits } from '../../contract/limits-spec.ts';
import type { Isolation } from '../../contract/spec.ts';
import { requireAllowed } from '../egress/egress.ts';
import { createKeeper, type EgressPlace } from '../egress/keep.ts';
import { lookupInDns } from '../egress/resolve.ts';
import { PLAIN_MACHINE } from '../machine-settings.ts';
import type { HostFolders, SandboxConnection, SandboxHandle, SandboxProvider, SandboxRequest } from '../sandbox.ts';
import { insidePaths, INSIDE_GATEWAY_PORT } from './bubblewrap.ts';
import { removeGroups } from './cgroup.ts';
import { checkHost } from './check-host.ts';
import { connectTo } from './connection.ts';
import { claimedFolder, claimFolder, freeFolder, isCode, jobFolder, labelledFolders, sandboxFolder, type SandboxFolder } from './folder.ts';
import { isHealthy, launchSandbox, START_TIMEOUT_MS, untilHealthy } from './launch.ts';
import { readLimitsRecord } from './limits-record.ts';
import { locate, type LocalProviderOptions, type Located } from './locate.ts';
import { endProcesses, isRunning, processesIn, recordedProcess } from './processes.ts';
import { pathsOf } from './tools.ts';
import { watchLimits } from './watch-limits.ts';

export type { LocalProviderOptions };

const MIB = 1024 * 1024;

/** Sandboxes on this host: the sandbox-agent server under bubblewrap, without a network, the gateway's socket its only way out. */
export function createLocalProvider(options: LocalProviderOptions): SandboxProvider {
  const { agents, owner, stateDir, socketDir, hostTaskQueue, machine = PLAIN_MACHINE } = options;
  const egressOptions = options.egress ?? NO_EGRESS;
  const keeper = createKeeper({ lookup: lookupInDns, ...egressOptions });

  const toHandle = ({ id }: SandboxFolder, isolation: Isolation): SandboxHandle => ({ provider: 'local', id, isolation, hostTaskQueue });

  const provider: SandboxProvider = {
    name: 'local',

    async start(request, signal) {
      if (request.egress !== undefined) requireAllowed(request.egress, egressOptions);
      try {
        return toHandle(await startOrJoin(request, signal), request.isolation);
      } catch (error) {
        if (ValetkeyError.is(error) || signal?.aborted === true) throw error;
        throw new ValetkeyError(
          'sandbox_start_failed',
          `The sandbox cannot be prepared: ${error instanceof Error ? error.message : 'unknown'}`,
        );
      }
    },

    connect({ id, isolation }) {
      return connect(sandboxFolder(stateDir, id), isolation);
    },

    async watchLimits({ id }, onSighting, signal) {
      const folder = sandboxFolder(stateDir, id);
      if (folder !== undefined) await watchLimits(folder, onSighting, signal);
    },

    async halt(handle) {
      const folder = sandboxFolder(stateDir, handle.id);
      if (folder === undefined) return null;
      const job = dirname(folder.path);
      await endProcesses(job, [job]);
      return hostFoldersOf(folder);
    },

    async hostFolders({ id }) {
      const folder = sandboxFolder(stateDir, id);
      return folder === undefined ? null : hostFoldersOf(folder);
    },

    async isAlive({ id, isolation }) {
      const folder = sandboxFolder(stateDir, id);
      if (folder === undefined) return false;
      return isolation === 'none'
        ? (await processesIn(folder.path)).members.length > 0
        : (await recordedProcess(folder.record)) !== undefined;
    },

    async stop(jobId) {
      const folders = await freeFolder(stateDir, jobId);
      await endProcesses(jobFolder(stateDir, jobId), folders);
      await keeper.end(`${basename(jobFolder(stateDir, jobId))}/`);
      for (const folder of folders) {
        await removeGroupsOf(folder);
        await remove(folder);
      }
    },

    async list() {
      const folders = await labelledFolders(stateDir);
      return folders.filter((folder) => folder.owner === owner).map(({ id, jobId, claimedAt }) => ({ id, jobId, startedAt: claimedAt }));
    },

    async check() {
      return checkHost(options);
    },

    serve() {
      let adopting = adopt();
      const timer = setInterval(() => {
        adopting = adopting.then(adopt);
      }, ADOPT_INTERVAL_MS);
      timer.unref();
      return {
        async close() {
          clearInterval(timer);
          await adopting;
          await keeper.end('');
        },
      };
    },
  };
  return provider;

  /** What cannot be taken over now may be in a moment. */
  async function adopt(): Promise<void> {
    for (const { id } of (await labelledFolders(stateDir)).filter((folder) => folder.owner === owner)) {
      const folder = sandboxFolder(stateDir, id);
      if (folder !== undefined) await keeper.adopt(egressPlace(folder)).catch(() => {});
    }
  }

  async function startOrJoin(request: SandboxRequest, signal?: AbortSignal): Promise<SandboxFolder> {
    const { jobId, agent, isolation, egress } = request;
    const limits = decideLimits(request.limits ?? {}, machine.limits, totalmem() / MIB);
    let located: Located | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const claimed = await claimedFolder(stateDir, jobId);
      if (claimed !== undefined) {
        const { folder, ageMs } = claimed;
        // Looked at first: a socket that comes up between the two looks must not be taken for one that answers no more.
        const starting = ageMs < START_TIMEOUT_MS && (await isStarting(folder));
        if (folder !== undefined && (await answers(folder, isolation))) return folder;
        if (starting) await delay(25);
        else await provider.stop(jobId);
        continue;
      }
      located ??= await locate(options, agents[agent], isolation);
      const port = isolation === 'none' ? await getPort({ host: '127.0.0.1' }) : INSIDE_GATEWAY_PORT;
      const folder = await claimFolder(stateDir, { jobId, owner }, port);
      if (folder === undefined) continue;
      const connection = connect(folder, isolation);
      try {
        if (egress !== undefined) await keeper.begin(egressPlace(folder), jobId, egress);
        const { caFile } = egressOptions;
        const child = await launchSandbox(folder, { located, agent: agents[agent], gatewayFolder: socketDir, caFile, request, limits });
        await untilHealthy(child, connection, folder, signal);
        return folder;
      } catch (error) {
        // Whoever took the folder away has ended what was in it, and may have started another by now.
        if ((await claimedFolder(stateDir, jobId))?.folder?.id === folder.id) await provider.stop(jobId);
        throw error;
      } finally {
        await connection.close();
      }
    }
  }
}

/** How soon a sandbox whose worker ended has its egress again. */
const ADOPT_INTERVAL_MS = 2_000;
const NO_EGRESS = { allowed: [], privateHosts: new Map(), maxBytes: 0, caFile: undefined, store: () => Promise.resolve() };

function egressPlace({ id, egress, egressRecord }: SandboxFolder): EgressPlace {
  return { id, socketFolder: egress, record: egressRecord };
}

/** A folder that is not one of ours is connected to like one whose sandbox has ended. */
function connect(folder: SandboxFolder | undefined, isolation: Isolation): SandboxConnection {
  const { home = '', workspace = '', gatewayPort = 0 } = folder ?? {};
  return connectTo(
    folder?.socket ?? '',
    pathsOf(isolation === 'none' ? { home, workspace, gatewayPort } : { ...insidePaths, gatewayPort }),
  );
}

async function hostFoldersOf({ workspace, kept }: SandboxFolder): Promise<HostFolders | null> {
  const isThere = await lstat(workspace).catch(() => undefined);
  return isThere === undefined ? null : { workspace, kept };
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

/** `folder`: of a job, with its incarnations. Their processes have ended. */
async function removeGroupsOf(folder: string): Promise<void> {
  for (const incarnation of await readdir(folder).catch(() => []))
    await removeGroups((await readLimitsRecord(join(folder, incarnation, 'limits.json')))?.groups ?? []);
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
