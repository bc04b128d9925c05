import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import type { Workspace } from '../contract/spec.ts';
import { gitNetworkEnvironment } from '../outbound/git.ts';
import type { Secret } from '../secrets/secret.ts';
import { git, initBare, type GitOptions } from './git.ts';
import { createRepository, type Repository } from './repository.ts';

/** The commits of history that are fetched unless the job says otherwise. */
const DEFAULT_DEPTH = 50;

export interface SourceOptions extends Pick<GitOptions, 'path' | 'cwd' | 'signal'> {
  /** The token for the server of `workspace.git`. */
  gitToken?: Secret | undefined;
}

/** A repository of ours on the host whose `main` is the start of the workspace. */
export interface Source {
  repository: Repository;
  commit: string;
  /** Warnings about what was left out, as sentences. */
  warnings: string[];
}

/**
 * Fetches the commit that `ref` names, else HEAD, of a repository into one of ours in `cwd`. Nothing of the source is run and
 * nothing of it holds `gitToken`. Throws `workspace_failed`, which names the source, and the codes of `gitBytes`.
 */
export async function fetchSource(source: string, workspace: Workspace, options: SourceOptions): Promise<Source> {
  const { path, cwd, signal } = options;
  const { ref, depth = DEFAULT_DEPTH } = workspace;
  const isUrl = workspace.git !== undefined;
  const { credential, ...base } = isUrl
    ? await serverOptions(source, options)
    : { path, cwd, signal, credential: undefined, env: { GIT_ALLOW_PROTOCOL: 'file' } };
  const remote: Remote = { source, isUrl, options: { ...base, credential } };

  const resolved = await findRef(remote, ref);
  const format = resolved.id.length === 64 ? 'sha256' : 'sha1';
  const repository = await createRepository(join(cwd, 'start.git'), format, base);
  const warnings = await fetchHistory(remote, repository, resolved.name, depth);
  const name = ref ?? 'HEAD';
  const commit = await repository
    .run(`Finding the commit of ${name}`, ['rev-parse', '--quiet', '--verify', '--end-of-options', 'refs/valetkey/start^{commit}'])
    .catch(() => {
      throw new ValetkeyError('git_ref_not_found', `${name} of the repository names no commit.`);
    });
  await repository.run('Preparing the workspace', ['update-ref', 'refs/heads/main', commit]);
  await repository.run('Preparing the workspace', ['update-ref', '-d', 'refs/valetkey/start']);
  return { repository, commit, warnings };
}

/** Returns the options with which git reaches the server of a URL, and nothing else. Throws `invalid_config`. */
export async function serverOptions(url: string, { path, cwd, signal, gitToken }: SourceOptions): Promise<GitOptions> {
  const credential = gitToken && { origin: new URL(url).origin, token: gitToken };
  // ssh is not allowed: it would use the worker’s own keys.
  return { path, cwd, signal, credential, env: { ...(await gitNetworkEnvironment(cwd)), GIT_ALLOW_PROTOCOL: 'https:http:git' } };
}

interface Remote {
  source: string;
  isUrl: boolean;
  options: GitOptions;
}

interface ResolvedRef {
  /** The full name of a ref, or a commit id. */
  name: string;
  id: string;
}

/**
 * Resolves a name in git’s order: the name itself, then a tag, a branch, a remote branch; then a commit id, whole or abbreviated.
 */
async function findRef(remote: Remote, ref: string | undefined): Promise<ResolvedRef> {
  const names =
    ref === undefined
      ? ['HEAD']
      : [
          ...(ref === 'HEAD' || ref.startsWith('refs/') ? [ref] : []),
          ...['', 'tags/', 'heads/', 'remotes/'].map((kind) => `refs/${kind}${ref}`),
        ];
  const known = await listRefs(remote, names);
  for (const name of names) {
    const id = known.get(name);
    if (id !== undefined) return { name, id };
  }
  if (ref !== undefined && /^[\da-f]{4,64}$/i.test(ref)) return findCommit(remote, ref.toLowerCase());
  if (ref !== undefined && ref !== 'HEAD')
    throw new ValetkeyError('git_ref_not_found', `The repository has no branch, tag, ref or commit ${ref}.`);
  const branches = (await listRefs(remote, ['refs/heads/*'])).size;
  throw new ValetkeyError(
    'workspace_failed',
    branches === 0
      ? `The repository has no commit${remote.isUrl ? ', or its address is not that of a repository' : ''}: commit what the job starts from, or give its files in workspace.files.`
      : `HEAD of the repository names a branch that has no commit, and there are others (${branches}): name one in workspace.ref.`,
  );
}

/** Lists refs of a repository that match git’s patterns: the commit id of each, by its full name. Throws the codes of `gitBytes`. */
export async function listRefs({ source, isUrl, options }: Remote, patterns: string[]): Promise<Map<string, string>> {
  const output = await git(
    isUrl ? 'Reading the repository' : `Reading the repository ${source}`,
    ['ls-remote', '--quiet', '--', source, ...patterns],
    options,
  );
  return new Map(
    output.split('\n').flatMap((line): [string, string][] => {
      const [id = '', name] = line.split('\t');
      return name === undefined ? [] : [[name, id]];
    }),
  );
}

/**
 * Resolves a commit id. An abbreviated one is looked up among all commits, which are fetched without their files where the server
 * supports that.
 */
async function findCommit({ source, isUrl, options }: Remote, id: string): Promise<ResolvedRef> {
  if (id.length === 40 || id.length === 64) return { name: id, id };
  const folder = join(options.cwd, 'ids.git');
  try {
    await initBare(folder, options);
    // The remote is declared partial, or git would report missing files.
    const settings = { url: source, promisor: 'true', partialclonefilter: 'tree:0' };
    const flags = ['--git-dir', folder, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `remote.source.${name}=${value}`])];
    const filter = ['--filter=tree:0', ...(isUrl ? [] : ['--upload-pack=git -c uploadpack.allowFilter=true upload-pack'])];
    const fetch = [...flags, 'fetch', '--quiet', '--no-tags', '--update-shallow', ...filter, 'source', '+refs/*:refs/all/*'];
    await git('Looking for the commit', fetch, options);
    const found = await git(
      `Finding the commit ${id}`,
      ['--git-dir', folder, 'rev-parse', '--quiet', '--verify', `${id}^{commit}`],
      options,
    ).catch(() => null);
    if (found === null) throw new ValetkeyError('git_ref_not_found', `The repository has no branch, tag, ref or commit ${id}.`);
    return { name: found, id: found };
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Fetches as much history as requested and available. Resolves to warnings about what was left out. */
async function fetchHistory(remote: Remote, repository: Repository, name: string, depth: number | 'full'): Promise<string[]> {
  const { source, isUrl, options } = remote;
  const fetch = (flags: string[]): Promise<string> =>
    git(
      isUrl ? 'Fetching the repository' : `Fetching the repository ${source}`,
      [
        ...[
          '--git-dir',
          repository.folder,
          '-c',
          'gc.auto=0',
          '-c',
          'maintenance.auto=false',
          'fetch',
          '--quiet',
          '--no-tags',
          '--update-shallow',
        ],
        ...['--no-recurse-submodules', '--no-write-fetch-head', ...flags, '--', source, `+${name}:refs/valetkey/start`],
      ],
      options,
    );
  const wanted = depth === 'full' ? [] : [`--depth=${depth}`];
  try {
    await fetch(wanted);
    return [];
  } catch (error) {
    options.signal?.throwIfAborted();
    // A partial clone has the files of its last commit only; an old server cannot cut a history.
    const others = isUrl ? [[]] : [['--depth=1']];
    for (const flags of others) {
      const isDone = await fetch(flags).then(
        () => true,
        () => false,
      );
      if (isDone) return isUrl ? [] : [`The repository ${source} is a partial clone: the last commit came without its history.`];
    }
    if (!isUrl && (await isPartial(source))) {
      throw new ValetkeyError(
        'workspace_failed',
        `The repository ${source} is a partial clone and lacks files of ${name}: check that commit out there first, or fetch it whole (git fetch --refetch).`,
      );
    }
    throw error;
  }
}

async function isPartial(source: string): Promise<boolean> {
  for (const folder of ['.git', '.']) {
    const config = await readFile(join(source, folder, 'config'), 'utf8').catch(() => '');
    if (/promisor|partialclone/i.test(config)) return true;
  }
  return false;
}

/** Returns the path where it is a repository (with a work tree, with several, or bare); null for a plain folder. */
export async function repositoryAt(path: string): Promise<string | null> {
  const names = await readdir(path).catch(() => null);
  if (names === null) throw new ValetkeyError('workspace_failed', `The worker cannot read the folder ${path}.`);
  const hasWorkTree = names.includes('.git');
  if (!hasWorkTree && !(names.includes('HEAD') && names.includes('objects') && names.includes('refs'))) return null;
  // git would refuse such a repository; this check gives the reason in our own words.
  const { uid } = await stat(hasWorkTree ? join(path, '.git') : path);
  if (uid !== process.getuid?.())
    throw new ValetkeyError('workspace_failed', `The repository ${path} does not belong to the worker’s user.`);
  return path;
}
