import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { ValetkeyError } from '../contract/errors.ts';
import type { Workspace } from '../contract/spec.ts';
import { OMIT_TEXTS } from '../contract/workspace-report.ts';
import { COMMITTER } from './git.ts';
import { openHostFolder } from './host-folder.ts';
import { findMissingContent } from './missing-content.ts';
import { blobId } from './object-id.ts';
import { displayPath, rawPath, type RawPath } from './raw-path.ts';
import { createRepository, type IndexChange } from './repository.ts';
import { readEntry, takeSnapshot } from './snapshot.ts';
import { fetchSource, repositoryAt, type Source, type SourceOptions } from './source.ts';

const MIB = 1024 * 1024;
/** The largest start of a workspace, history included. */
const MAX_PACK_BYTES = 256 * MIB;
/** The total of a plain folder’s files, before they are packed. */
const MAX_FOLDER_BYTES = 1024 * MIB;
const MAX_WARNINGS = 10;

/** A fixed date, so that the same files give the same commit when this is repeated. */
const IDENTITY = { ...COMMITTER, GIT_AUTHOR_DATE: '2000-01-01T00:00:00Z', GIT_COMMITTER_DATE: '2000-01-01T00:00:00Z' };

/** The start of a workspace, as it is sent into a sandbox. */
export interface WorkspaceStart extends Source {
  /** Path of a pack with everything that `main` reaches. */
  pack: string;
  /** The commits at which the history is cut (git’s file `shallow`); null where the history is complete. */
  shallow: Buffer | null;
}

/**
 * Creates the start of a workspace in `cwd`, an empty folder of the host.
 * - `git`, or a `path` with a repository: the commit that `ref` names, else HEAD, with its last commits. Uncommitted changes are
 *   left out.
 * - A `path` without a repository: its files, except those that its .gitignore files name. Repositories in it become plain
 *   folders.
 * - `files`, or nothing: one commit.
 * Nothing in it holds `gitToken`. Throws `workspace_failed`, which names the source.
 */
export async function createStart(workspace: Workspace, options: SourceOptions): Promise<WorkspaceStart> {
  const repositorySource = workspace.git ?? (workspace.path === undefined ? null : await repositoryAt(workspace.path));
  if (repositorySource === null && workspace.ref !== undefined)
    throw new ValetkeyError('workspace_failed', 'The folder is not a git repository, so it has no refs: remove workspace.ref.');
  const source =
    repositorySource === null ? await commitFiles(workspace, options) : await fetchSource(repositorySource, workspace, options);
  const { repository, commit } = source;
  // git refuses here the paths that it would refuse to write in the sandbox.
  await repository.run('Reading the commit', ['read-tree', commit], { env: { GIT_INDEX_FILE: join(options.cwd, 'checked') } });
  const pack = join(options.cwd, 'start.pack');
  await repository.runBytes('Packing the repository', ['pack-objects', '--revs', '--stdout', '-q'], {
    input: Buffer.from(`${commit}\n`),
    outputFile: pack,
  });
  if ((await stat(pack)).size > MAX_PACK_BYTES) {
    const remedy = repositorySource === null ? 'exclude files with a .gitignore' : 'set workspace.depth to 1';
    throw new ValetkeyError('workspace_failed', `The workspace is larger than ${MAX_PACK_BYTES / MIB} MiB: ${remedy}.`);
  }
  const shallow = await readFile(join(repository.folder, 'shallow')).catch(() => null);
  return { ...source, warnings: [...source.warnings, ...(await findMissingContent(repository, commit))], pack, shallow };
}

/** Commits the files of the job or of a folder, byte by byte. */
async function commitFiles({ files = {}, path }: Workspace, { path: PATH, cwd, signal }: SourceOptions): Promise<Source> {
  const options = { path: PATH, cwd, signal, env: IDENTITY };
  const repository = await createRepository(join(cwd, 'start.git'), 'sha1', options);
  const index = join(cwd, 'index');
  const changes: IndexChange[] = [];
  const dropped: { path: RawPath; why: string }[] = [];
  const addChange = (name: RawPath, mode: string, content: Buffer): Buffer => {
    changes.push({ path: name, entry: { mode, id: blobId(content, repository.format) } });
    return content;
  };
  async function* ofJob(): AsyncGenerator<Buffer> {
    for (const [name, text] of Object.entries(files)) yield addChange(rawPath(name), '100644', Buffer.from(text));
  }
  async function* ofFolder(root: string): AsyncGenerator<Buffer> {
    const folder = openHostFolder(root);
    try {
      const { entries, omitted } = await takeSnapshot(folder, options);
      const bytes = [...entries.values()].reduce((sum, entry) => sum + entry.bytes, 0);
      if (bytes > MAX_FOLDER_BYTES)
        throw new ValetkeyError(
          'workspace_failed',
          `The folder ${root} is larger than ${MAX_FOLDER_BYTES / MIB} MiB: exclude files with a .gitignore.`,
        );
      for (const { path: name, reason } of omitted) dropped.push({ path: name, why: OMIT_TEXTS[reason] });
      for (const [name, entry] of entries) {
        signal?.throwIfAborted();
        const content = await readEntry(folder, name, entry).catch(() => null);
        if (content === null) dropped.push({ path: name, why: OMIT_TEXTS.unreadable });
        else yield addChange(name, entry.mode, content);
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
  const named = dropped.slice(0, MAX_WARNINGS).map(({ path, why }) => `${displayPath(path) || '.'} was left out: ${why}.`);
  return dropped.length > MAX_WARNINGS ? [...named, `${dropped.length - MAX_WARNINGS} more files were left out.`] : named;
}
