import type { Workspace } from '../contract/spec.ts';
import type { SandboxConnection } from '../sandboxes/sandbox.ts';
import { collectCheckpoint, restoreInside, type CheckpointOptions, type CollectedCheckpoint } from './checkpoint.ts';
import { recordBaseline, openArtifacts, readStartObjects, type ArtifactCollector, type WorkspaceFolders } from './collect.ts';
import { pushPatch, type PushOptions } from './push.ts';
import { putWorkspace, type PutWorkspaceResult, type PutWorkspaceOptions } from './put.ts';
import { runSetup } from './setup.ts';
import type { StoredStart } from './stored-start.ts';

/** The steps of a workspace, in this order; each function’s own comment has the details. */
export interface Workspaces {
  put(
    sandbox: SandboxConnection,
    source: Workspace | StoredStart,
    workerFolder: string,
    options?: PutWorkspaceOptions,
  ): Promise<PutWorkspaceResult>;
  runSetup: typeof runSetup;
  recordBaseline(folders: WorkspaceFolders, startCommit: string, signal?: AbortSignal): Promise<void>;
  openArtifacts(folders: WorkspaceFolders, startCommit: string, signal?: AbortSignal): Promise<ArtifactCollector>;
  collectCheckpoint(
    sandbox: SandboxConnection,
    folders: WorkspaceFolders,
    start: Omit<CheckpointOptions, 'path'>,
  ): Promise<CollectedCheckpoint>;
  readStartObjects(folders: WorkspaceFolders, startCommit: string): AsyncGenerator<Buffer>;
  restoreInside: typeof restoreInside;
  pushPatch(patch: Buffer, options: PushOptions): Promise<string>;
}

/** `path`: PATH, to find git. `scratchFolder`: a folder of this host for what is removed again. */
export function createWorkspaces({ path, scratchFolder }: { path: string; scratchFolder: string }): Workspaces {
  return {
    put: (sandbox, source, workerFolder, options) => putWorkspace(sandbox, source, workerFolder, path, options),
    runSetup,
    recordBaseline: (folders, startCommit, signal) => recordBaseline(folders, startCommit, path, signal),
    openArtifacts: (folders, startCommit, signal) => openArtifacts(folders, startCommit, { path, signal }),
    collectCheckpoint: (sandbox, folders, start) => collectCheckpoint(sandbox, folders, { ...start, path }),
    readStartObjects: (folders, startCommit) => readStartObjects(folders, startCommit, path),
    restoreInside,
    pushPatch: (patch, options) => pushPatch(patch, options, { path, scratchFolder }),
  };
}
