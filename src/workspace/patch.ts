import { open } from 'node:fs/promises';
import { join } from 'node:path';

import type { Omission } from '../contract/workspace-report.ts';
import { decideFit, type Candidate } from './decide-fit.ts';
import type { GitOptions } from './git.ts';
import type { HostFolder } from './host-folder.ts';
import { blobId, idOf } from './object-id.ts';
import { omissionsOf } from './omissions.ts';
import { patchSections } from './patch-sections.ts';
import type { RawPath } from './raw-path.ts';
import type { IndexChange, ObjectFormat, Repository, TreeEntry } from './repository.ts';
import { entryOf, readEntry, takeSnapshot, type Entry, type Left } from './snapshot.ts';

/** Bytes of the changed files that a patch is made from; what their differences fit into is bounded besides. */
const MAX_CHANGED_BYTES = 64 * 1024 * 1024;

const DIFF = [
  ...['diff-index', '--cached', '--binary', '--full-index', '--no-color', '--no-ext-diff', '--no-textconv', '--no-renames'],
  ...['--no-relative', '--ignore-submodules=none', '--src-prefix=a/', '--dst-prefix=b/', '--unified=3'],
];

export interface PatchOptions extends GitOptions {
  /** The commit that the patch is for. */
  start: string;
  /** What the agent began with; null: the start. */
  base: ReadonlyMap<RawPath, TreeEntry> | null;
  /** Of the patch. */
  maxBytes: number;
}

export interface Patch {
  /** For `git apply` on the start. Empty: nothing was changed. */
  content: Buffer;
  /** What was changed and is not in it. */
  omitted: Omission[];
}

interface Change {
  path: RawPath;
  /** Null: it is gone. */
  entry: Entry | null;
}

/**
 * The difference between what the agent began with and a folder that nobody uses any more, computed from bytes: no attribute, no
 * filter, no configuration and no repository in the folder has a say. A file that the agent left as it was is not in it, one that
 * it changed is compared with the start. No path keeps another out. `cwd`: an empty folder of ours. Throws `workspace_failed`
 * where nothing can be reported.
 */
export async function collectPatch(folder: HostFolder, repository: Repository, options: PatchOptions): Promise<Patch> {
  const { start, base, maxBytes, signal } = options;
  const inStart = await repository.readTree(start);
  const inBase = base ?? inStart;
  const { entries, left } = await takeSnapshot(folder, options);
  const modules = [...inStart].flatMap(([path, { mode }]) => (mode === '160000' ? [path] : []));
  const changes: Change[] = [];
  for (const [path, known] of inBase) {
    signal?.throwIfAborted();
    if (known.mode === '160000') continue;
    try {
      const change = await changeOf(folder, path, known, entries.get(path), repository.format);
      if (change !== null) changes.push(change);
    } catch {
      if (!left.some((other) => other.path === path)) left.push({ path, reason: 'unreadable' });
    }
  }
  for (const [path, entry] of entries) {
    if (inBase.has(path)) continue;
    const module = modules.find((name) => path === name || path.startsWith(`${name}/`));
    if (module === undefined) changes.push({ path, entry });
    else left.push({ path, reason: 'in_submodule' });
  }

  const chosen = await stage(folder, repository, { ...options, changes, inStart, left });
  const content = await diff(repository, options, { inStart, maxBytes, left, chosen });
  return { content, omitted: omissionsOf(left, [...inBase.keys(), ...chosen]) };
}

/** What became of a path that was there; null: nothing. Throws the system's error where that cannot be read. */
async function changeOf(
  folder: HostFolder,
  path: RawPath,
  known: TreeEntry,
  listed: Entry | undefined,
  format: ObjectFormat,
): Promise<Change | null> {
  // The list leaves out what is ignored and what could not be read, and what was there at the start is never ignored.
  const item = listed === undefined ? folder.look(path) : null;
  if (item?.kind === 'other') throw new Error('not a file');
  const entry = listed ?? (item === null ? null : entryOf(item));
  if (entry === null) return { path, entry };
  if (entry.mode !== known.mode || entry.bytes !== known.bytes) return { path, entry };
  return (await idOf(folder, path, entry, format)) === known.id ? null : { path, entry };
}

interface Staging extends PatchOptions {
  changes: readonly Change[];
  inStart: ReadonlyMap<RawPath, TreeEntry>;
  left: Left[];
}

/** Makes an index of the start with the changes that can be read and are not too large. Resolves to their paths. */
async function stage(folder: HostFolder, repository: Repository, { changes, inStart, left, ...options }: Staging): Promise<Set<RawPath>> {
  const index = indexFile(options);
  await repository.run('Reading the start', ['read-tree', options.start], { env: { GIT_INDEX_FILE: index } });
  const candidates = changes.map(({ path, entry }): Candidate => ({ path, bytes: entry?.bytes ?? 0, isKnown: inStart.has(path) }));
  const fitting = decideFit(candidates, MAX_CHANGED_BYTES);
  const staged: IndexChange[] = [];
  async function* contents(): AsyncGenerator<Buffer> {
    for (const { path, entry } of changes) {
      options.signal?.throwIfAborted();
      if (!fitting.has(path)) left.push({ path, reason: 'too_large' });
      else if (entry === null) staged.push({ path, entry: null });
      else {
        const content = await readEntry(folder, path, entry).catch(() => null);
        if (content === null) left.push({ path, reason: 'unreadable' });
        else {
          staged.push({ path, entry: { mode: entry.mode, id: blobId(content, repository.format) } });
          yield content;
        }
      }
    }
  }
  await repository.writeBlobs(contents());
  // What goes makes room: a file where a folder was, a folder where a file was.
  const ordered = staged.toSorted((a, b) => Number(a.entry !== null) - Number(b.entry !== null));
  const refused = new Set(await repository.changeIndex(index, ordered));
  for (const path of refused) left.push({ path, reason: 'refused_name' });
  return new Set(staged.map(({ path }) => path).filter((path) => !refused.has(path)));
}

interface Diffing {
  inStart: ReadonlyMap<RawPath, TreeEntry>;
  maxBytes: number;
  left: Left[];
  chosen: Set<RawPath>;
}

/** The patch, without the files whose part of it does not fit: those are in `left` then, and no more in `chosen`. */
async function diff(repository: Repository, options: PatchOptions, { inStart, maxBytes, left, chosen }: Diffing): Promise<Buffer> {
  const env = { GIT_INDEX_FILE: indexFile(options) };
  const raw = await repository.runBytes(
    'Comparing with the start',
    ['diff-index', '--cached', '--raw', '-z', '--no-renames', options.start],
    {
      env,
    },
  );
  const outputFile = join(options.cwd, 'patch');
  await repository.runBytes('Making the patch', [...DIFF, options.start], { env, outputFile });
  await using file = await open(outputFile);
  const sections = await patchSections(raw, file);
  const fitting = decideFit(
    sections.map(({ path, bytes }) => ({ path, bytes, isKnown: inStart.has(path) })),
    maxBytes,
  );
  const parts: Buffer[] = [];
  for (const { path, from, bytes } of sections) {
    if (fitting.has(path)) {
      const part = Buffer.alloc(bytes);
      await file.read(part, 0, bytes, from);
      parts.push(part);
    } else {
      left.push({ path, reason: 'too_large' });
      chosen.delete(path);
    }
  }
  return Buffer.concat(parts);
}

function indexFile({ cwd }: PatchOptions): string {
  return join(cwd, 'index');
}
