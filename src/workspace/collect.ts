import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { readBaseline, writeBaseline } from './baseline.ts';
import { collectFile, type CollectedFile } from './files.ts';
import { openHostFolder } from './host-folder.ts';
import { collectPatch, type Patch } from './patch.ts';
import { startRepository } from './put.ts';
import { openRepository, type Repository } from './repository.ts';
import { packStart } from './stored-start.ts';

/** The folders of a workspace on this host. */
export interface WorkspaceFolders {
  workspace: string;
  /** For the worker’s own files, out of the agent’s reach. */
  workerFolder: string;
}

export interface ArtifactCollector {
  /** Collects the agent’s changes, as far as they fit into `maxBytes`. Throws `workspace_failed`. */
  collectPatch(maxBytes: number): Promise<Patch>;
  /** Collects a file by its path in the workspace. `inside` is the path of the workspace in the sandbox. */
  collectFile(file: string, inside: string, maxBytes: number): Promise<CollectedFile>;
  close(): Promise<void>;
}

export interface CollectOptions {
  /** PATH. */
  path: string;
  signal?: AbortSignal | undefined;
  /** The agent’s processes run on: what it must not read itself is not read either. */
  isRunning?: boolean;
}

/**
 * Opens the workspace of an agent on the host: nothing in it is run or trusted. Throws the system’s error where the folders are gone.
 */
export async function openArtifacts(
  folders: WorkspaceFolders,
  startCommit: string,
  { path, signal, isRunning = false }: CollectOptions,
): Promise<ArtifactCollector> {
  const folder = openHostFolder(folders.workspace, { restoreAccess: !isRunning });
  try {
    const cwd = await mkdtemp(join(folders.workerFolder, 'collecting-'));
    const repository = repositoryIn(folders, startCommit, { path, cwd, signal });
    const base = await readBaseline(baselineFile(folders, startCommit));
    return {
      collectPatch: (maxBytes) => collectPatch(folder, repository, { path, cwd, signal, start: startCommit, base, maxBytes }),
      collectFile: (file, inside, maxBytes) => collectFile(folder, file, inside, maxBytes),
      async close() {
        folder.close();
        await rm(cwd, { recursive: true, force: true, maxRetries: 3 });
      },
    };
  } catch (error) {
    folder.close();
    throw error;
  }
}

/** Records the current state of the workspace as the agent’s baseline. Idempotent. The agent must not run yet. `path`: PATH. */
export async function recordBaseline(folders: WorkspaceFolders, startCommit: string, path: string, signal?: AbortSignal): Promise<void> {
  const folder = openHostFolder(folders.workspace);
  try {
    const cwd = await mkdtemp(join(folders.workerFolder, 'baseline-'));
    const options = { path, cwd, signal };
    await writeBaseline(folder, repositoryIn(folders, startCommit, options), startCommit, baselineFile(folders, startCommit), options);
    await rm(cwd, { recursive: true, force: true, maxRetries: 3 });
  } finally {
    folder.close();
  }
}

/** Reads the objects of a start commit, to be stored. Throws `workspace_failed`, and the system’s error where the folders are gone. */
export async function* readStartObjects(folders: WorkspaceFolders, startCommit: string, path: string): AsyncGenerator<Buffer> {
  const cwd = await mkdtemp(join(folders.workerFolder, 'packing-'));
  try {
    yield* packStart(repositoryIn(folders, startCommit, { path, cwd }), startCommit, cwd);
  } finally {
    await rm(cwd, { recursive: true, force: true, maxRetries: 3 });
  }
}

function repositoryIn({ workerFolder }: WorkspaceFolders, startCommit: string, options: Parameters<typeof openRepository>[2]): Repository {
  return openRepository(startRepository(workerFolder, startCommit), startCommit.length === 64 ? 'sha256' : 'sha1', options);
}

function baselineFile({ workerFolder }: WorkspaceFolders, startCommit: string): string {
  return join(workerFolder, `${startCommit}.base`);
}
