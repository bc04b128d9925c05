import type { Workspace } from '../contract/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { recordBaseline, openArtifacts, type ArtifactCollector, type WorkspaceFolders } from './collect.ts';
import { putWorkspace, type PutWorkspaceResult, type PutWorkspaceOptions } from './put.ts';
import { runSetup } from './setup.ts';

/** The steps of a workspace, in this order; each function’s own comment has the details. */
export interface Workspaces {
  put(sandbox: SandboxConnection, workspace: Workspace, workerFolder: string, options?: PutWorkspaceOptions): Promise<PutWorkspaceResult>;
  runSetup: typeof runSetup;
  recordBaseline(folders: WorkspaceFolders, startCommit: string, signal?: AbortSignal): Promise<void>;
  openArtifacts(folders: WorkspaceFolders, startCommit: string, signal?: AbortSignal): Promise<ArtifactCollector>;
}

/** `path`: PATH, to find git. */
export function createWorkspaces({ path }: { path: string }): Workspaces {
  return {
    put: (sandbox, workspace, workerFolder, options) => putWorkspace(sandbox, workspace, workerFolder, path, options),
    runSetup,
    recordBaseline: (folders, startCommit, signal) => recordBaseline(folders, startCommit, path, signal),
    openArtifacts: (folders, startCommit, signal) => openArtifacts(folders, startCommit, path, signal),
  };
}
