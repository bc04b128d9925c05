import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';

import type { Workspace } from '../../src/contract/spec.ts';
import type { CollectedFile } from '../../src/workspace/files.ts';
import { createWorkspaces, type Workspaces } from '../../src/workspace/index.ts';
import type { Patch } from '../../src/workspace/patch.ts';
import { startServer, type Server } from '../session/server.ts';

const MIB = 1024 * 1024;
/** Where pushes are made. */
const SCRATCH_FOLDER = join(tmpdir(), `valetkey-scratch-${process.pid}`);

/** One server of a sandbox for the tests of a file, and a new folder for each of them. */
export interface WorkspaceRig {
  server(): Server;
  /** An empty folder of the host. */
  folder(): string;
  workspaces: Workspaces;
  put(workspace: Workspace): Promise<{ startCommit: string; warnings: string[] }>;
  patch(startCommit: string, maxBytes?: number): Promise<Patch>;
  file(name: string, maxBytes?: number): Promise<CollectedFile>;
  begin(startCommit: string): Promise<void>;
  inWorkspace(...names: string[]): string;
  /** The worker's own folder of the sandbox. */
  workerFolder(): string;
}

export function useWorkspace(): WorkspaceRig {
  const workspaces = createWorkspaces({ path: process.env['PATH'] ?? '', scratchFolder: SCRATCH_FOLDER });
  let server: Server;
  let folder: string;
  let workerFolder: string;
  let lastCommit = '';
  beforeAll(async () => {
    server = await startServer();
    workerFolder = await mkdtemp(join(tmpdir(), 'valetkey-kept-'));
  });
  afterAll(async () => {
    await server.stop();
    await rm(workerFolder, { recursive: true, force: true });
    await rm(SCRATCH_FOLDER, { recursive: true, force: true });
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'valetkey-test-'));
    await rm(workerFolder, { recursive: true, force: true });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const folders = () => ({ workspace: server.paths.workspace, workerFolder });
  return {
    server: () => server,
    folder: () => folder,
    workspaces,
    async put(workspace) {
      const put = await workspaces.put(server.sandbox, workspace, workerFolder);
      lastCommit = put.startCommit;
      return put;
    },
    async patch(startCommit, maxBytes = 10 * MIB) {
      const work = await workspaces.openArtifacts(folders(), startCommit);
      try {
        return await work.collectPatch(maxBytes);
      } finally {
        await work.close();
      }
    },
    async file(name, maxBytes = MIB) {
      const work = await workspaces.openArtifacts(folders(), lastCommit);
      try {
        return await work.collectFile(name, server.paths.workspace, maxBytes);
      } finally {
        await work.close();
      }
    },
    begin: (startCommit) => workspaces.recordBaseline(folders(), startCommit),
    workerFolder: () => workerFolder,
    inWorkspace: (...names) => join(server.paths.workspace, ...names),
  };
}

/** Git with an identity. */
export async function git(cwd: string, ...args: string[]): Promise<string> {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'init.defaultBranch=trunk'];
  return (await execa('git', [...identity, ...args], { cwd })).stdout;
}

export async function sh(cwd: string, script: string): Promise<string> {
  const env = {
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@b',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@b',
  };
  return (await execa('bash', ['-ec', script], { cwd, env })).stdout;
}
