import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ValetkeyError } from '../job/errors.ts';
import type { Workspace } from '../job/spec.ts';
import { gitNetwork } from '../outbound/git.ts';
import type { Secret } from '../secrets/secret.ts';
import { git, type GitOptions } from './git.ts';

/** Bytes: what a workspace may bring along, history included. */
const MAX_BUNDLE_BYTES = 256 * 1024 * 1024;

/** Fixed, so that the same files are the same commit when this is done again. */
const IDENTITY = {
  GIT_AUTHOR_NAME: 'valetkey',
  GIT_AUTHOR_EMAIL: 'valetkey@localhost',
  GIT_AUTHOR_DATE: '2000-01-01T00:00:00Z',
  GIT_COMMITTER_NAME: 'valetkey',
  GIT_COMMITTER_EMAIL: 'valetkey@localhost',
  GIT_COMMITTER_DATE: '2000-01-01T00:00:00Z',
};

export interface StartBundleOptions extends Omit<GitOptions, 'env' | 'credential'> {
  /** For the server of the workspace's `git`. */
  gitToken?: Secret | undefined;
}

export interface StartBundle {
  /** A git bundle whose branch `main` is the start. */
  file: string;
  /** The id of the commit that the job starts from. */
  startCommit: string;
}

/**
 * Makes a workspace's start in the empty folder `cwd` of the host: a git bundle.
 * `git`, and `path` where it is a repository: the commit that `ref` names, else HEAD, with its history; changes that are not
 * committed stay behind. `path` without a repository: its files, without what its .gitignore names. `files`, nothing: one commit.
 * Nothing of it holds `gitToken`. Throws `workspace_failed`.
 */
export async function makeStartBundle(workspace: Workspace, { path, cwd, signal, gitToken }: StartBundleOptions): Promise<StartBundle> {
  // No ssh: it would take the worker's own keys.
  const protocols = workspace.git === undefined ? 'file' : 'https:http:git';
  const options = { path, cwd, signal, env: { ...IDENTITY, ...(await gitNetwork(cwd)), GIT_ALLOW_PROTOCOL: protocols } };
  const repository = join(cwd, 'start.git');
  const inRepository = (doing: string, ...args: string[]): Promise<string> => git(doing, ['--git-dir', repository, ...args], options);

  const source = workspace.git ?? (await repositoryAt(workspace.path));
  if (source === null) {
    const folder = workspace.path ?? (await writeFiles(workspace.files ?? {}, join(cwd, 'files')));
    if (workspace.ref !== undefined) throw new ValetkeyError('workspace_failed', 'The folder is no git repository, so it has no ref.');
    await git('Preparing the workspace', ['init', '--quiet', '--bare', '--initial-branch=main', repository], options);
    await inRepository('Reading the folder', '--work-tree', folder, '-C', folder, 'add', '--all', '.');
    await inRepository('Preparing the workspace', '--work-tree', folder, 'commit', '--quiet', '--allow-empty', '--message', 'Start');
  } else {
    const credential = gitToken && workspace.git !== undefined ? { origin: new URL(workspace.git).origin, token: gitToken } : undefined;
    await git('Cloning the repository', ['clone', '--quiet', '--bare', '--no-local', '--', source, repository], { ...options, credential });
    const ref = workspace.ref ?? 'HEAD';
    const commit = await inRepository(
      `Finding the commit of ${ref}`,
      'rev-parse',
      '--quiet',
      '--verify',
      '--end-of-options',
      `${ref}^{commit}`,
    );
    await inRepository('Preparing the workspace', 'update-ref', 'refs/heads/main', commit);
  }

  const file = join(cwd, 'start.bundle');
  await inRepository('Packing the repository', 'bundle', 'create', '--quiet', file, 'refs/heads/main');
  if ((await stat(file)).size > MAX_BUNDLE_BYTES) {
    throw new ValetkeyError('workspace_failed', `The workspace is larger than ${MAX_BUNDLE_BYTES / 1024 / 1024} MiB.`);
  }
  return { file, startCommit: await inRepository('Preparing the workspace', 'rev-parse', '--verify', 'refs/heads/main') };
}

/** The path where it is a repository with a work tree or a bare one; null for a plain folder and for no path. */
async function repositoryAt(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  const names = await readdir(path).catch(() => null);
  if (names === null) throw new ValetkeyError('workspace_failed', `${path} is no folder that the worker can read.`);
  const hasWorkTree = names.includes('.git');
  if (!hasWorkTree && !(names.includes('HEAD') && names.includes('objects'))) return null;
  // Git refuses it, and its words for that are not ours to repeat.
  const { uid } = await stat(hasWorkTree ? join(path, '.git') : path);
  if (uid !== process.getuid?.())
    throw new ValetkeyError('workspace_failed', `The repository ${path} belongs to another user than the worker's.`);
  return path;
}

async function writeFiles(files: Record<string, string>, folder: string): Promise<string> {
  await mkdir(folder);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}
