import { lstat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { basename, dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import { decideLimits, type SandboxLimits } from '../../contract/limits-spec.ts';
import type { Isolation } from '../../contract/sandbox-provider.ts';
import { isRunning } from '../../system/is-running.ts';
import { requireAllowed, type EgressOptions } from '../egress/egress.ts';
import { lookupInDns } from '../egress/resolve.ts';
import { createEgressSupervisor, type EgressPlace } from '../egress/supervisor.ts';
import { isAnswering } from '../is-healthy.ts';
import { connectTo } from '../launch/connection.ts';
import { DEFAULT_MACHINE_SETTINGS, type MachineSettings } from '../machine-settings.ts';
import type {
  HostFolders,
  ListedSandbox,
  SandboxConnection,
  SandboxHandle,
  SandboxPaths,
  SandboxProvider,
  SandboxRequest,
} from '../sandbox.ts';
import { claimFolder, jobFolder, listLabeledFolders, readClaim, releaseFolder, sandboxFolder, type SandboxFolder } from './folder.ts';
import { START_TIMEOUT_MS, waitUntilHealthy, type LaunchedSandbox } from './health.ts';
import { removeFolder } from './remove-folder.ts';
import { watchLimits } from './watch-limits.ts';

const MIB = 1024 * 1024;
/** A sandbox whose worker ended has its egress again after this interval. */
const ADOPT_INTERVAL_MS = 2_000;
const NO_EGRESS = { allowed: [], privateHosts: new Map(), maxBytes: 0, caFile: undefined, store: () => Promise.resolve() };

/** The settings that every provider of sandboxes on this host has. */
export interface HostProviderOptions {
  /** Namespace and deployment of the workers: distinguishes their sandboxes from others on this host. */
  owner: string;
  /** The folder of all its sandboxes. Two providers never share one. */
  stateDir: string;
  /** The task queue on which this host's sandboxes are driven. */
  hostTaskQueue: string;
  /** The egress that jobs may have; left out: none. */
  egress?: EgressOptions;
  /** Default: `DEFAULT_MACHINE_SETTINGS`. */
  machine?: MachineSettings;
}

/** What differs between the providers of sandboxes on this host: what runs in a sandbox's folder, and how it ends. */
export interface HostBackend {
  readonly name: SandboxProvider['name'];
  /** Checks what a sandbox needs, before its folder is claimed. The caller retries. Throws the errors of `SandboxProvider.start`. */
  prepare(request: SandboxRequest): Promise<PreparedSandbox>;
  /** Paths and addresses inside. */
  paths(folder: Pick<SandboxFolder, 'home' | 'workspace' | 'gatewayPort'>, isolation: Isolation): SandboxPaths;
  /**
   * Ends all processes of a job whose folder is `job`, a path that they know and that may have been renamed; `folders` are where the
   * records of its sandboxes are now. `only`: the id of the sandbox whose processes are meant. Idempotent; resolves when nothing runs any
   * more. The caller retries.
   */
  kill(job: string, folders: readonly string[], only?: string): Promise<void>;
  /** Removes what the host keeps for the sandboxes in a job's folder beside its files. Their processes have ended. Idempotent. */
  removeRecords?(folder: string): Promise<void>;
  /** Lists the owner's sandboxes that may have lost their folder. Absent where a sandbox is its folder. */
  listRunning?(): Promise<ListedSandbox[]>;
  /** See `SandboxProvider`. */
  check(): Promise<ValetkeyError[]>;
}

export interface PreparedSandbox {
  /** Loopback port of the forwarder to the gateway, inside. */
  gatewayPort: number;
  /** Launches the sandbox in its folder. It outlives this process. */
  launch(folder: SandboxFolder, limits: SandboxLimits): Promise<LaunchedSandbox>;
}

/** Creates a provider of sandboxes on this host, each with a folder that is claimed by its creation (see `SandboxFolder`). */
export function createHostProvider(options: HostProviderOptions, backend: HostBackend): SandboxProvider {
  const { owner, stateDir, hostTaskQueue, machine = DEFAULT_MACHINE_SETTINGS } = options;
  const egressOptions = options.egress ?? NO_EGRESS;
  const egressSupervisor = createEgressSupervisor({ lookup: lookupInDns, ...egressOptions });

  const provider: SandboxProvider = {
    name: backend.name,

    async start(request, signal) {
      if (request.egress !== undefined) requireAllowed(request.egress, egressOptions);
      const { isolation } = request;
      try {
        const { id } = await startOrJoin(request, signal);
        return { provider: backend.name, id, isolation, hostTaskQueue } satisfies SandboxHandle;
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
      await backend.kill(job, [job]);
      return hostFoldersOf(folder);
    },

    async hostFolders({ id }) {
      const folder = sandboxFolder(stateDir, id);
      return folder === undefined ? null : hostFoldersOf(folder);
    },

    async stop(jobId, only) {
      const folders = await releaseFolder(stateDir, jobId, only);
      const job = jobFolder(stateDir, jobId);
      await backend.kill(job, folders, only);
      await egressSupervisor.stop(only ?? `${basename(job)}/`);
      for (const folder of folders) {
        await backend.removeRecords?.(folder);
        await removeFolder(folder);
      }
    },

    async list() {
      const [folders, running] = await Promise.all([ownFolders(), backend.listRunning?.() ?? []]);
      const listed = folders.map(({ id, jobId, claimedAt }) => ({ id, jobId, startedAt: claimedAt }));
      const known = new Set(listed.map(({ jobId }) => jobId));
      return [...listed, ...running.filter(({ jobId }) => !known.has(jobId))];
    },

    check: () => backend.check(),

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

  async function ownFolders(): ReturnType<typeof listLabeledFolders> {
    return (await listLabeledFolders(stateDir)).filter((folder) => folder.owner === owner);
  }

  /** Adopts the egress proxies of this owner’s sandboxes. One that cannot be adopted now is tried again after the interval. */
  async function adopt(): Promise<void> {
    for (const { id } of await ownFolders()) {
      const folder = sandboxFolder(stateDir, id);
      if (folder !== undefined) await egressSupervisor.adopt(egressPlace(folder)).catch(() => {});
    }
  }

  async function startOrJoin(request: SandboxRequest, signal?: AbortSignal): Promise<SandboxFolder> {
    const { jobId, isolation } = request;
    const limits = decideLimits(request.limits ?? {}, machine.limits, totalmem() / MIB);
    let prepared: PreparedSandbox | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const claim = await readClaim(stateDir, jobId);
      if (claim !== undefined) {
        const { folder, ageMs } = claim;
        // This is checked first: a socket that appears between the two checks must not be taken for one that no longer answers.
        const starting = ageMs < START_TIMEOUT_MS && (await isStarting(folder));
        if (folder !== undefined && (await isAnswering(connect(folder, isolation)))) return folder;
        if (starting) await delay(25);
        else await provider.stop(jobId);
        continue;
      }
      prepared ??= await backend.prepare(request);
      const folder = await claimFolder(stateDir, { jobId, owner }, prepared.gatewayPort);
      if (folder !== undefined) return await launch(folder, prepared, request, limits, signal);
    }
  }

  async function launch(
    folder: SandboxFolder,
    prepared: PreparedSandbox,
    { jobId, isolation, egress }: SandboxRequest,
    limits: SandboxLimits,
    signal: AbortSignal | undefined,
  ): Promise<SandboxFolder> {
    const connection = connect(folder, isolation);
    let launched: LaunchedSandbox | undefined;
    try {
      if (egress !== undefined) await egressSupervisor.start(egressPlace(folder), jobId, egress);
      launched = await prepared.launch(folder, limits);
      await waitUntilHealthy(launched, connection, signal);
      return folder;
    } catch (error) {
      // The process that released the claim has stopped what was in the folder, and another sandbox may have started since.
      if ((await readClaim(stateDir, jobId))?.folder?.id === folder.id) await provider.stop(jobId);
      throw error;
    } finally {
      launched?.release();
      await connection.close();
    }
  }

  /** Connects to a sandbox. An unknown folder is treated like that of a sandbox that has ended. */
  function connect(folder: SandboxFolder | undefined, isolation: Isolation): SandboxConnection {
    return connectTo(folder?.socket ?? '', backend.paths(folder ?? NO_FOLDER, isolation));
  }
}

const NO_FOLDER = { home: '', workspace: '', gatewayPort: 0 };

function egressPlace({ id, egress, egressRecord }: SandboxFolder): EgressPlace {
  return { id, socketFolder: egress, record: egressRecord };
}

/** The folders are those of the sandbox itself: nothing is to be stored or deleted. */
const keep = async (): Promise<void> => {};

async function hostFoldersOf({ workspace, workerFolder }: SandboxFolder): Promise<HostFolders | null> {
  const isWhole = async (): Promise<boolean> => (await lstat(workspace).catch(() => null)) !== null;
  return (await isWhole()) ? { workspace, workerFolder, isWhole, save: keep, close: keep } : null;
}

/**
 * Returns whether another process is starting the sandbox: there is no socket yet, and the process that claimed the folder runs.
 */
async function isStarting(folder: SandboxFolder | undefined): Promise<boolean> {
  if (folder === undefined) return true;
  return isRunning(folder.ownerPid) && !(await lstat(folder.socket).catch(() => undefined));
}
