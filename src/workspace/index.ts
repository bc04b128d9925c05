import type { Workspace } from '../contract/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { beginWork, openWork, type Work, type WorkspaceFolders } from './collect.ts';
import { putWorkspace, type PutWorkspace, type PutWorkspaceOptions } from './put.ts';
import { runSetup } from './setup.ts';

/** A workspace from its start to what comes out of it, in this order; each function's own comment says the rest. */
export interface Workspaces {
  put(sandbox: SandboxConnection, workspace: Workspace, kept: string, options?: PutWorkspaceOptions): Promise<PutWorkspace>;
  runSetup: typeof runSetup;
  beginWork(folders: WorkspaceFolders, startCommit: string, signal?: AbortSignal): Promise<void>;
  openWork(folders: WorkspaceFolders, startCommit: string, signal?: AbortSignal): Promise<Work>;
}

/** `path`: PATH, to find git. */
export function createWorkspaces({ path }: { path: string }): Workspaces {
  return {
    put: (sandbox, workspace, kept, options) => putWorkspace(sandbox, workspace, kept, path, options),
    runSetup,
    beginWork: (folders, startCommit, signal) => beginWork(folders, startCommit, path, signal),
    openWork: (folders, startCommit, signal) => openWork(folders, startCommit, path, signal),
  };
}
