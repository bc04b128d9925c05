import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { createScratchFolder } from '../../system/scratch-folder.ts';
import type { HostFolders } from '../sandbox.ts';
import { downloadWorkspace } from './download.ts';
import type { Vendor, VendorSandbox } from './vendor.ts';
import { restoreFolder, saveFolder, type FolderStore } from './worker-folder.ts';

export interface HostFoldersOptions {
  vendor: Vendor;
  store: FolderStore;
  /** A folder of this host for what is removed again at `close`. */
  scratchFolder: string;
  /** PATH, to find tar. */
  path: string;
}

/**
 * Creates the folders of a remote sandbox on this host: a copy of its workspace unless `withWorkspace` is false, and the worker's
 * own files as the last `save` stored them. Throws what the vendor throws, `workspace_failed`, `database_unreachable`.
 */
export async function openHostFolders(
  { vendor, store, scratchFolder, path }: HostFoldersOptions,
  { jobId, id }: VendorSandbox,
  withWorkspace: boolean,
): Promise<HostFolders> {
  const folder = await createScratchFolder(scratchFolder);
  const close = async (): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 3 });
  const [workspace, workerFolder] = [join(folder, 'workspace'), join(folder, 'worker')];
  try {
    await Promise.all([mkdir(workspace), mkdir(workerFolder)]);
    await Promise.all([
      withWorkspace ? downloadWorkspace(vendor, id, workspace) : undefined,
      restoreFolder(store, jobId, workerFolder, path),
    ]);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    workspace,
    workerFolder,
    isWhole: () => Promise.resolve(true),
    save: async () => saveFolder(store, jobId, workerFolder, path),
    close,
  };
}
