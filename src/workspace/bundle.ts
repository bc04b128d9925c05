import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import type { Workspace } from '../contract/spec.ts';
import { OMIT_TEXTS } from '../contract/workspace-report.ts';
import { openHostFolder } from './host-folder.ts';
import { lackingOf } from './lacking.ts';
import { blobId } from './object-id.ts';
import { displayPath, rawPath, type RawPath } from './raw-path.ts';
import { createRepository, type IndexChange } from './repository.ts';
import { readEntry, takeSnapshot } from './snapshot.ts';
import { fetchSource, repositoryAt, type Source, type SourceOptions } from './source.ts';

const MIB = 1024 * 1024;
/** Bytes: what a workspace may bring along, history included. */
const MAX_PACK_BYTES = 256 * MIB;
/** Of a plain folder's files together, before they are packed. */
const MAX_FOLDER_BYTES = 1024 * MIB;
const MAX_NAMED = 10;

/** Fixed, so that the same files are the same commit when this is done again. */
const IDENTITY = {
  GIT_AUTHOR_NAME: 'valetkey',
  GIT_AUTHOR_EMAIL: 'valetkey@localhost',
  GIT_AUTHOR_DATE: '2000-01-01T00:00:00Z',
  GIT_COMMITTER_NAME: 'valetkey',
  GIT_COMMITTER_EMAIL: 'valetkey@localhost',
  GIT_COMMITTER_DATE: '2000-01-01T00:00:00Z',
};

/** What a workspace starts from, as it goes into a sandbox. */
export interface Start extends Source {
  /** A pack of all that `main` reaches. */
  pack: string;
  /** Where its history is cut; null where it is whole. */
  shallow: Buffer | null;
}

/**
 * Makes a workspace's start in the empty folder `cwd` of the host.
 * `git`, and `path` where it is a repository: the commit that `ref` names, else HEAD, with its last commits; changes that are not
 * committed stay behind. `path` without a repository: its files, without what its .gitignore names; repositories in it are
 * folders. `files`, nothing: one commit. Nothing of it holds `gitToken`. Throws `workspace_failed`, which says what the source is.
 */
export async function createStart(workspace: Workspace, options: SourceOptions): Promise<Start> {
  const repositorySource = workspace.git ?? (workspace.path === undefined ? null : await repositoryAt(workspace.path));
  if (repositorySource === null && workspace.ref !== undefined)
    throw new ValetkeyError('workspace_failed', 'The folder is no git repository, so it has no ref.');
  const source =
    repositorySource === null ? await commitFiles(workspace, options) : await fetchSource(repositorySource, workspace, options);
  const { repository, commit } = source;
  // Git refuses here what it would refuse to write in the sandbox.
  await repository.run('Reading the commit', ['read-tree', commit], { env: { GIT_INDEX_FILE: join(options.cwd, 'checked') } });
  const pack = join(options.cwd, 'start.pack');
  await repository.runBytes('Packing the repository', ['pack-objects', '--revs', '--stdout', '-q'], {
    input: Buffer.from(`${commit}\n`),
    outputFile: pack,
  });
  if ((await stat(pack)).size > MAX_PACK_BYTES) {
    const less = repositorySource === null ? 'leave out files by a .gitignore' : 'set workspace.depth to 1';
    throw new ValetkeyError('workspace_failed', `The workspace is larger than ${MAX_PACK_BYTES / MIB} MiB: ${less}.`);
  }
  const shallow = await readFile(join(repository.folder, 'shallow')).catch(() => null);
  return { ...source, warnings: [...source.warnings, ...(await lackingOf(repository, commit))], pack, shallow };
}

/** A commit of the files of the job or of a folder, byte by byte. */
async function commitFiles({ files = {}, path }: Workspace, { path: PATH, cwd, signal }: SourceOptions): Promise<Source> {
  const options = { path: PATH, cwd, signal, env: IDENTITY };
  const repository = await createRepository(join(cwd, 'start.git'), 'sha1', options);
  const index = join(cwd, 'index');
  const changes: IndexChange[] = [];
  const dropped: { path: RawPath; why: string }[] = [];
  const keep = (name: RawPath, mode: string, content: Buffer): Buffer => {
    changes.push({ path: name, entry: { mode, id: blobId(content, repository.format) } });
    return content;
  };
  async function* ofJob(): AsyncGenerator<Buffer> {
    for (const [name, text] of Object.entries(files)) yield keep(rawPath(name), '100644', Buffer.from(text));
  }
  async function* ofFolder(root: string): AsyncGenerator<Buffer> {
    const folder = openHostFolder(root);
    try {
      const { entries, left } = await takeSnapshot(folder, options);
      const bytes = [...entries.values()].reduce((sum, entry) => sum + entry.bytes, 0);
      if (bytes > MAX_FOLDER_BYTES)
        throw new ValetkeyError(
          'workspace_failed',
          `The folder ${root} has more than ${MAX_FOLDER_BYTES / MIB} MiB: leave out files by a .gitignore.`,
        );
      for (const { path: name, reason } of left) dropped.push({ path: name, why: OMIT_TEXTS[reason] });
      for (const [name, entry] of entries) {
        signal?.throwIfAborted();
        const content = await readEntry(folder, name, entry).catch(() => null);
        if (content === null) dropped.push({ path: name, why: OMIT_TEXTS.unreadable });
        else yield keep(name, entry.mode, content);
      }
    } finally {
      folder.close();
    }
  }
  await repository.writeBlobs(path === undefined ? ofJob() : ofFolder(path));
  for (const name of await repository.changeIndex(index, changes)) dropped.push({ path: name, why: OMIT_TEXTS.refused_name });
  const env = { ...IDENTITY, GIT_INDEX_FILE: index };
  if (changes.length === 0) await repository.run('Preparing the workspace', ['read-tree', '--empty'], { env });
  const tree = await repository.run('Preparing the workspace', ['write-tree'], { env });
  const commit = await repository.run('Preparing the workspace', ['commit-tree', tree, '-m', 'Start'], { env });
  await repository.run('Preparing the workspace', ['update-ref', 'refs/heads/main', commit]);
  return { repository, commit, warnings: warningsOf(dropped) };
}

function warningsOf(dropped: readonly { path: RawPath; why: string }[]): string[] {
  const named = dropped.slice(0, MAX_NAMED).map(({ path, why }) => `${displayPath(path) || '.'} stays behind: ${why}.`);
  return dropped.length > MAX_NAMED ? [...named, `${dropped.length - MAX_NAMED} more files stay behind.`] : named;
}
