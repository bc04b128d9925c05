import { join } from 'node:path';

import type { Agents } from '../../agents/index.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import { removeLeftovers } from '../../system/scratch-folder.ts';
import { requireAllowed, type EgressOptions } from '../egress/egress.ts';
import type { SandboxConnection, SandboxPaths, SandboxProvider, SandboxRequest } from '../sandbox.ts';
import { connectRemote } from './connection.ts';
import { haltProcesses } from './download.ts';
import { startExtending } from './extend-lifetimes.ts';
import { openHostFolders } from './host-folders.ts';
import { remotePaths } from './layout.ts';
import { createStartLimiter } from './start-limiter.ts';
import { startRemote } from './start.ts';
import { stopRemote } from './stop.ts';
import { vendorUnreachable, type Vendor, type VendorSandbox } from './vendor.ts';
import type { FolderStore } from './worker-folder.ts';

/** What every provider of remote sandboxes needs beside its vendor. */
export interface RemoteProviderOptions {
  agents: Agents;
  folders: FolderStore;
  /** URL at which a sandbox reaches the gateway from outside, without a trailing slash. */
  gatewayUrl: string;
  egress: Pick<EgressOptions, 'allowed' | 'maxBytes'>;
  /** Starts of sandboxes per second, for each worker. */
  startsPerSecond: number;
  /** The folder of the worker's state. */
  stateDir: string;
  /** PATH, to find tar. */
  path: string;
  outbound: OutboundProxies;
}

/**
 * Creates a provider of sandboxes at a vendor. Any worker can drive them: what it needs it finds at the vendor, in the sandbox and
 * in the database.
 */
export function createRemoteProvider(vendor: Vendor, options: RemoteProviderOptions): SandboxProvider {
  const { agents, folders: store, gatewayUrl, egress, startsPerSecond, stateDir, path, outbound } = options;
  const { home, workspace } = remotePaths;
  const paths: SandboxPaths = { home, workspace, gatewayUrl };
  const limitStarts = createStartLimiter(startsPerSecond);
  const scratchFolder = join(stateDir, 'remote');
  const connect = (id: string): SandboxConnection => connectRemote({ vendor, id, paths, outbound });
  /** Runs `work` on a sandbox that the vendor runs. Where it does not answer now, the caller may find it again later. */
  const withRunning = async <T>(id: string, work: (sandbox: VendorSandbox) => Promise<T>): Promise<T | null> => {
    const found = await vendor.find(id);
    if (found?.state !== 'running') return null;
    try {
      return await work(found);
    } catch (error) {
      if (!(ValetkeyError.is(error) && error.code === 'sandbox_lost')) throw error;
      if ((await vendor.find(id))?.state !== 'running') return null;
      throw vendorUnreachable(vendor.title, 'does not let requests through to the sandbox');
    }
  };

  return {
    name: vendor.name,

    async start(request, signal) {
      requireSupported(vendor, request);
      if (request.egress !== undefined) requireAllowed(request.egress, egress);
      const id = await startRemote({ vendor, limitStarts, agent: agents[request.agent], connect }, request, signal).catch((error) => {
        signal?.throwIfAborted();
        throw error;
      });
      return { provider: vendor.name, id, isolation: request.isolation, hostTaskQueue: null };
    },

    connect: ({ id }) => connect(id),

    async halt({ id }) {
      return withRunning(id, async (sandbox) => {
        await haltProcesses(vendor, id);
        return openHostFolders({ vendor, store, scratchFolder, path }, sandbox, true);
      });
    },

    async hostFolders({ id }, { withWorkspace = true } = {}) {
      return withRunning(id, (sandbox) => openHostFolders({ vendor, store, scratchFolder, path }, sandbox, withWorkspace));
    },

    async stop(jobId, only) {
      if (only !== undefined) return vendor.kill(only);
      await stopRemote(vendor, jobId);
      await store.remove(jobId);
    },

    async list() {
      const found = await vendor.list();
      return found.filter(({ state }) => state !== 'ended').map(({ id, jobId, startedAt }) => ({ id, jobId, startedAt }));
    },

    async check() {
      try {
        await vendor.list();
        return [];
      } catch (error) {
        return ValetkeyError.is(error) ? [error] : [];
      }
    },

    serve() {
      const sweeping = removeLeftovers(scratchFolder);
      const extending = startExtending(vendor);
      return {
        async close() {
          await sweeping;
          await extending.close();
        },
      };
    },
  };
}

function requireSupported(vendor: Vendor, { jobId, egress, limits = {} }: SandboxRequest): void {
  const [limit] = Object.keys(limits);
  if (limit !== undefined)
    throw new ValetkeyError(
      'sandbox_unsupported',
      `The limits of a sandbox at ${vendor.title} are those of its ${vendor.image}: remove sandbox.limits.${limit}.`,
    );
  if (egress?.maxMiB !== undefined)
    throw new ValetkeyError('sandbox_unsupported', `${vendor.title} does not limit traffic: remove sandbox.egress.maxMiB.`);
  vendor.requireSupported({ jobId, egress });
}
