import { execFile } from 'node:child_process';
import { lstat, readdir, rm } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import getPort from 'get-port';

import { ValetkeyError } from '../../contract/errors.ts';
import { decideLimits } from '../../contract/limits-spec.ts';
import type { Isolation } from '../../contract/sandbox-provider.ts';
import { hasErrorCode } from '../../system/error-code.ts';
import { isRunning } from '../../system/is-running.ts';
import { requireAllowed } from '../egress/egress.ts';
import { lookupInDns } from '../egress/resolve.ts';
import { createEgressSupervisor, type EgressPlace } from '../egress/supervisor.ts';
import { connectTo } from '../launch/connection.ts';
import { insidePaths, INSIDE_GATEWAY_PORT } from '../launch/inside.ts';
import { sandboxPaths } from '../launch/tools.ts';
import { DEFAULT_MACHINE_SETTINGS } from '../machine-settings.ts';
import type { HostFolders, SandboxConnection, SandboxHandle, SandboxProvider, SandboxRequest } from '../sandbox.ts';
import { removeGroups } from './cgroup.ts';
import { checkHost } from './check-host.ts';
import {
  readClaim,
  claimFolder,
  releaseFolder,
  jobFolder,
  LABEL_FILE,
  listLabeledFolders,
  sandboxFolder,
  type SandboxFolder,
} from './folder.ts';
import { isHealthy, launchSandbox, START_TIMEOUT_MS, waitUntilHealthy } from './launch.ts';
import { readLimitsRecord } from './limits-record.ts';
import { locateParts, type LocalProviderOptions, type SandboxParts } from './locate.ts';
import { killProcesses } from './processes.ts';
import { watchLimits } from './watch-limits.ts';

export type { LocalProviderOptions };

const MIB = 1024 * 1024;

/**
 * Creates the provider of sandboxes on this host: the sandbox-agent server under bubblewrap, without a network, with the gateway’s
 * socket as its only way out.
 */
export function createLocalProvider(options: LocalProviderOptions): SandboxProvider {
  const { agents, owner, stateDir, socketDir, hostTaskQueue, machine = DEFAULT_MACHINE_SETTINGS } = options;
  const egressOptions = options.egress ?? NO_EGRESS;
  const egressSupervisor = createEgressSupervisor({ lookup: lookupInDns, ...egressOptions });

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
          `The sandbox cannot be prepared: ${error instanceof Error ? error.message : 'unknown error'}.`,
        );
      }
    },

    connect({ id, isolation }) {
      return connect(sandboxFolder(stateDir, id), isolation);
    },

    async watchLimits({ id }, onWarning, signal) {
      const folder = sandboxFolder(stateDir, id);
      if (folder !== undefined) await watchLimits(folder, onWarning, signal);
    },

    async halt(handle) {
      const folder = sandboxFolder(stateDir, handle.id);
      if (folder === undefined) return null;
      const job = dirname(folder.path);
      await killProcesses(job, [job]);
      return hostFoldersOf(folder);
    },

    async hostFolders({ id }) {
      const folder = sandboxFolder(stateDir, id);
      return folder === undefined ? null : hostFoldersOf(folder);
    },

    async stop(jobId) {
      const folders = await releaseFolder(stateDir, jobId);
      await killProcesses(jobFolder(stateDir, jobId), folders);
      await egressSupervisor.stop(`${basename(jobFolder(stateDir, jobId))}/`);
      for (const folder of folders) {
        await removeGroupsOf(folder);
        await remove(folder);
      }
    },

    async list() {
      const folders = await listLabeledFolders(stateDir);
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
          await egressSupervisor.stop('');
        },
      };
    },
  };
  return provider;

  /** Adopts the egress proxies of this owner’s sandboxes. One that cannot be adopted now is tried again after the interval. */
  async function adopt(): Promise<void> {
    for (const { id } of (await listLabeledFolders(stateDir)).filter((folder) => folder.owner === owner)) {
      const folder = sandboxFolder(stateDir, id);
      if (folder !== undefined) await egressSupervisor.adopt(egressPlace(folder)).catch(() => {});
    }
  }

  async function startOrJoin(request: SandboxRequest, signal?: AbortSignal): Promise<SandboxFolder> {
    const { jobId, agent, isolation, egress } = request;
    const limits = decideLimits(request.limits ?? {}, machine.limits, totalmem() / MIB);
    let located: SandboxParts | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const claim = await readClaim(stateDir, jobId);
      if (claim !== undefined) {
        const { folder, ageMs } = claim;
        // This is checked first: a socket that appears between the two checks must not be taken for one that no longer answers.
        const starting = ageMs < START_TIMEOUT_MS && (await isStarting(folder));
        if (folder !== undefined && (await isAnswering(folder, isolation))) return folder;
        if (starting) await delay(25);
        else await provider.stop(jobId);
        continue;
      }
      located ??= await locateParts(options, agents[agent], isolation);
      const port = isolation === 'none' ? await getPort({ host: '127.0.0.1' }) : INSIDE_GATEWAY_PORT;
      const folder = await claimFolder(stateDir, { jobId, owner }, port);
      if (folder === undefined) continue;
      const connection = connect(folder, isolation);
      try {
        if (egress !== undefined) await egressSupervisor.start(egressPlace(folder), jobId, egress);
        const { caFile } = egressOptions;
        const child = await launchSandbox(folder, { located, agent: agents[agent], gatewayFolder: socketDir, caFile, request, limits });
        await waitUntilHealthy(child, connection, folder, signal);
        return folder;
      } catch (error) {
        // The process that released the claim has stopped what was in the folder, and another sandbox may have started since.
        if ((await readClaim(stateDir, jobId))?.folder?.id === folder.id) await provider.stop(jobId);
        throw error;
      } finally {
        await connection.close();
      }
    }
  }
}

/** A sandbox whose worker ended has its egress again after this interval. */
const ADOPT_INTERVAL_MS = 2_000;
const NO_EGRESS = { allowed: [], privateHosts: new Map(), maxBytes: 0, caFile: undefined, store: () => Promise.resolve() };

function egressPlace({ id, egress, egressRecord }: SandboxFolder): EgressPlace {
  return { id, socketFolder: egress, record: egressRecord };
}

/** Connects to a sandbox. An unknown folder is treated like that of a sandbox that has ended. */
function connect(folder: SandboxFolder | undefined, isolation: Isolation): SandboxConnection {
  const { home = '', workspace = '', gatewayPort = 0 } = folder ?? {};
  return connectTo(
    folder?.socket ?? '',
    sandboxPaths(isolation === 'none' ? { home, workspace, gatewayPort } : { ...insidePaths, gatewayPort }),
  );
}

/** The folders are those of the sandbox itself: nothing is to be stored or deleted. */
const keep = async (): Promise<void> => {};

async function hostFoldersOf({ workspace, workerFolder }: SandboxFolder): Promise<HostFolders | null> {
  const isWhole = async (): Promise<boolean> => (await lstat(workspace).catch(() => null)) !== null;
  return (await isWhole()) ? { workspace, workerFolder, isWhole, save: keep, close: keep } : null;
}

async function isAnswering(folder: SandboxFolder, isolation: Isolation): Promise<boolean> {
  const connection = connect(folder, isolation);
  try {
    return await isHealthy(connection);
  } finally {
    await connection.close();
  }
}

/**
 * Returns whether another process is starting the sandbox: there is no socket yet, and the process that claimed the folder runs.
 */
async function isStarting(folder: SandboxFolder | undefined): Promise<boolean> {
  if (folder === undefined) return true;
  return isRunning(folder.ownerPid) && !(await lstat(folder.socket).catch(() => undefined));
}

/** Removes the control groups of a job’s sandboxes, whose processes have ended. `folder`: the job’s, with its incarnations. */
async function removeGroupsOf(folder: string): Promise<void> {
  for (const incarnation of await readdir(folder).catch(() => []))
    await removeGroups((await readLimitsRecord(join(folder, incarnation, 'limits.json')))?.groups ?? []);
}

/** Removes a job’s folder, the labels last: a folder whose removal failed or was cut off is still listed. */
async function remove(folder: string): Promise<void> {
  for (const incarnation of await readdir(folder).catch(() => []))
    for (const name of await readdir(join(folder, incarnation)).catch(() => []))
      if (name !== LABEL_FILE) await removeTree(join(folder, incarnation, name));
  await removeTree(folder);
}

async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    if (!hasErrorCode(error, 'EACCES')) throw error;
    // Some tools make the folders of their caches read-only.
    await promisify(execFile)('chmod', ['-R', 'u+rwX', path]);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}
