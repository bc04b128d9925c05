import { open } from 'node:fs/promises';
import { join } from 'node:path';

import type { Omission } from '../contract/workspace-report.ts';
import { decideFit, type Candidate } from './decide-fit.ts';
import type { GitOptions } from './git.ts';
import type { HostFolder } from './host-folder.ts';
import { blobId, entryId } from './object-id.ts';
import { omissionsOf } from './omissions.ts';
import { patchSections } from './patch-sections.ts';
import type { RawPath } from './raw-path.ts';
import type { IndexChange, ObjectFormat, Repository, TreeEntry } from './repository.ts';
import { entryOf, readEntry, takeSnapshot, type SnapshotEntry, type OmittedPath } from './snapshot.ts';

/** The total of the changed files that a patch is made from; `maxBytes` limits the patch itself. */
const MAX_CHANGED_BYTES = 64 * 1024 * 1024;

const DIFF = [
  ...['diff-index', '--cached', '--binary', '--full-index', '--no-color', '--no-ext-diff', '--no-textconv', '--no-renames'],
  ...['--no-relative', '--ignore-submodules=none', '--src-prefix=a/', '--dst-prefix=b/', '--unified=3'],
];

export interface PatchOptions extends GitOptions {
  /** The commit that the patch applies to. */
  start: string;
  /** The agent’s baseline; null: the start commit. */
  base: ReadonlyMap<RawPath, TreeEntry> | null;
  /** The size limit of the patch. */
  maxBytes: number;
}

export interface Patch {
  /** The patch, for `git apply` on the start commit. Empty where nothing was changed. */
  content: Buffer;
  /** Changes that are not in the patch. */
  omitted: Omission[];
}

interface Change {
  path: RawPath;
  /** The new entry; null where the path was removed. */
  entry: SnapshotEntry | null;
}

/**
 * Collects the difference between the agent’s baseline and a folder that nobody uses any more. It is computed from bytes: no
 * attribute, filter, configuration or repository in the folder has an effect. A file that equals the baseline is omitted out; a file
 * that the agent changed is compared with the start commit. A path that fails does not affect others. `cwd`: an empty folder of
 * ours. Throws `workspace_failed` where nothing can be reported.
 */
export async function collectPatch(folder: HostFolder, repository: Repository, options: PatchOptions): Promise<Patch> {
  const { start, base, maxBytes, signal } = options;
  const inStart = await repository.readTree(start);
  const inBase = base ?? inStart;
  const { entries, omitted } = await takeSnapshot(folder, options);
  const modules = [...inStart].flatMap(([path, { mode }]) => (mode === '160000' ? [path] : []));
  const changes: Change[] = [];
  for (const [path, known] of inBase) {
    signal?.throwIfAborted();
    if (known.mode === '160000') continue;
    try {
      const change = await detectChange(folder, path, known, entries.get(path), repository.format);
      if (change !== null) changes.push(change);
    } catch {
      if (!omitted.some((other) => other.path === path)) omitted.push({ path, reason: 'unreadable' });
    }
  }
  for (const [path, entry] of entries) {
    if (inBase.has(path)) continue;
    const module = modules.find((name) => path === name || path.startsWith(`${name}/`));
    if (module === undefined) changes.push({ path, entry });
    else omitted.push({ path, reason: 'in_submodule' });
  }

  const chosen = await stage(folder, repository, { ...options, changes, inStart, omitted });
  const content = await diff(repository, options, { inStart, maxBytes, omitted, chosen });
  return { content, omitted: omissionsOf(omitted, [...inBase.keys(), ...chosen]) };
}

/** Detects the change of a path of the baseline; null: none. Throws the system’s error where it cannot be read. */
async function detectChange(
  folder: HostFolder,
  path: RawPath,
  known: TreeEntry,
  listed: SnapshotEntry | undefined,
  format: ObjectFormat,
): Promise<Change | null> {
  // The snapshot leaves out ignored and unreadable paths, but a path of the baseline is never ignored.
  const item = listed === undefined ? folder.stat(path) : null;
  if (item?.kind === 'other') throw new Error('The path is not a file.');
  const entry = listed ?? (item === null ? null : entryOf(item));
  if (entry === null) return { path, entry };
  if (entry.mode !== known.mode || entry.bytes !== known.bytes) return { path, entry };
  return (await entryId(folder, path, entry, format)) === known.id ? null : { path, entry };
}

interface Staging extends PatchOptions {
  changes: readonly Change[];
  inStart: ReadonlyMap<RawPath, TreeEntry>;
  omitted: OmittedPath[];
}

/** Creates an index of the start commit with the changes that can be read and are not too large. Resolves to their paths. */
async function stage(
  folder: HostFolder,
  repository: Repository,
  { changes, inStart, omitted, ...options }: Staging,
): Promise<Set<RawPath>> {
  const index = indexFile(options);
  await repository.run('Reading the start', ['read-tree', options.start], { env: { GIT_INDEX_FILE: index } });
  const candidates = changes.map(({ path, entry }): Candidate => ({ path, bytes: entry?.bytes ?? 0, isKnown: inStart.has(path) }));
  const fitting = decideFit(candidates, MAX_CHANGED_BYTES);
  const staged: IndexChange[] = [];
  async function* contents(): AsyncGenerator<Buffer> {
    for (const { path, entry } of changes) {
      options.signal?.throwIfAborted();
      if (!fitting.has(path)) omitted.push({ path, reason: 'too_large' });
      else if (entry === null) staged.push({ path, entry: null });
      else {
        const content = await readEntry(folder, path, entry).catch(() => null);
        if (content === null) omitted.push({ path, reason: 'unreadable' });
        else {
          staged.push({ path, entry: { mode: entry.mode, id: blobId(content, repository.format) } });
          yield content;
        }
      }
    }
  }
  await repository.writeBlobs(contents());
  // Removals come first, since a file may replace a folder and a folder a file.
  const ordered = staged.toSorted((a, b) => Number(a.entry !== null) - Number(b.entry !== null));
  const refused = new Set(await repository.changeIndex(index, ordered));
  for (const path of refused) omitted.push({ path, reason: 'refused_name' });
  return new Set(staged.map(({ path }) => path).filter((path) => !refused.has(path)));
}

interface Diffing {
  inStart: ReadonlyMap<RawPath, TreeEntry>;
  maxBytes: number;
  omitted: OmittedPath[];
  chosen: Set<RawPath>;
}

/** Writes the patch, without the sections that do not fit: their paths are moved from `chosen` to `omitted`. */
async function diff(repository: Repository, options: PatchOptions, { inStart, maxBytes, omitted, chosen }: Diffing): Promise<Buffer> {
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
      omitted.push({ path, reason: 'too_large' });
      chosen.delete(path);
    }
  }
  return Buffer.concat(parts);
}

function indexFile({ cwd }: PatchOptions): string {
  return join(cwd, 'index');
}
