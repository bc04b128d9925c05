import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { readBase, writeBase } from './base.ts';
import { collectFile, type CollectedFile } from './files.ts';
import { openHostFolder } from './host-folder.ts';
import { collectPatch, type Patch } from './patch.ts';
import { keptRepository } from './put.ts';
import { openRepository, type Repository } from './repository.ts';

/** Where a workspace and what the worker keeps of it lie on this host. */
export interface WorkspaceFolders {
  workspace: string;
  /** Out of the agent's reach. */
  kept: string;
}

export interface Work {
  /** What the agent changed, as far as it fits into `maxBytes`. Throws `workspace_failed`. */
  collectPatch(maxBytes: number): Promise<Patch>;
  /** A file by its path in the workspace, which is at `inside` in the sandbox. */
  collectFile(file: string, inside: string, maxBytes: number): Promise<CollectedFile>;
  close(): Promise<void>;
}

/**
 * Opens the work of an agent whose processes have ended, on the host: nothing in the workspace is run or believed. `path`: PATH.
 * Throws the system's error where the folders are gone.
 */
export async function openArtifacts(folders: WorkspaceFolders, startCommit: string, path: string, signal?: AbortSignal): Promise<Work> {
  const folder = openHostFolder(folders.workspace, { makeReadable: true });
  try {
    const cwd = await mkdtemp(join(folders.kept, 'collecting-'));
    const repository = repositoryIn(folders, startCommit, { path, cwd, signal });
    const base = await readBase(baseFile(folders, startCommit));
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

/** Takes what is in the workspace now for what the agent begins with. Idempotent; the agent must not run yet. `path`: PATH. */
export async function recordBaseline(folders: WorkspaceFolders, startCommit: string, path: string, signal?: AbortSignal): Promise<void> {
  const folder = openHostFolder(folders.workspace);
  try {
    const cwd = await mkdtemp(join(folders.kept, 'beginning-'));
    const options = { path, cwd, signal };
    await writeBase(folder, repositoryIn(folders, startCommit, options), startCommit, baseFile(folders, startCommit), options);
    await rm(cwd, { recursive: true, force: true, maxRetries: 3 });
  } finally {
    folder.close();
  }
}

function repositoryIn({ kept }: WorkspaceFolders, startCommit: string, options: Parameters<typeof openRepository>[2]): Repository {
  return openRepository(keptRepository(kept, startCommit), startCommit.length === 64 ? 'sha256' : 'sha1', options);
}

function baseFile({ kept }: WorkspaceFolders, startCommit: string): string {
  return join(kept, `${startCommit}.base`);
}
