import { setImmediate as yieldToEventLoop } from 'node:timers/promises';

import type { OmitReason } from '../contract/workspace-report.ts';
import type { GitOptions } from './git.ts';
import type { HostFolder, Item } from './host-folder.ts';
import { createIgnoreRules } from './ignore-rules.ts';
import type { RawPath } from './raw-path.ts';

/** The number of folders and files; of further ones only the folder is listed, as omitted. */
const MAX_ITEMS = 500_000;
const MAX_DEPTH = 200;
const MAX_RULES_BYTES = 1024 * 1024;

export type FileMode = '100644' | '100755' | '120000';

/** A file or a link, with git’s mode. */
export interface SnapshotEntry {
  mode: FileMode;
  bytes: number;
}

/** A path that is omitted out, and why. */
export interface OmittedPath {
  path: RawPath;
  reason: OmitReason;
}

export interface Snapshot {
  entries: Map<RawPath, SnapshotEntry>;
  omitted: OmittedPath[];
}

/**
 * Lists the files and links of a folder, except those that its .gitignore files name and the data of repositories. The files of
 * nested repositories are listed like any others. What cannot be read is in `omitted`. Never throws for a single path.
 */
export async function takeSnapshot(folder: HostFolder, options: GitOptions): Promise<Snapshot> {
  const entries = new Map<RawPath, SnapshotEntry>();
  const omitted: OmittedPath[] = [];
  const rules = await createIgnoreRules(options);
  let items = 0;
  let level: RawPath[] = [''];
  for (let depth = 0; level.length > 0; depth += 1) {
    const found: { path: RawPath; item: Item }[] = [];
    for (const path of level) {
      options.signal?.throwIfAborted();
      await yieldToEventLoop();
      if (depth > MAX_DEPTH || items > MAX_ITEMS) {
        omitted.push({ path, reason: 'too_large' });
        continue;
      }
      try {
        const listed = folder.list(path).filter(({ name }) => name !== '.git');
        items += listed.length;
        await rules.add(path, await readRules(folder, path, listed));
        for (const item of listed) found.push({ path: path === '' ? item.name : `${path}/${item.name}`, item });
      } catch {
        omitted.push({ path, reason: 'unreadable' });
      }
    }
    const folders = found.flatMap(({ path, item }) => (item.kind === 'folder' ? [path] : []));
    const ignored = await rules.findIgnored(
      found.map(({ path }) => path),
      folders,
    );
    for (const { path, item } of found) {
      if (ignored.has(path) || item.kind === 'folder') continue;
      const entry = entryOf(item);
      if (entry === null) omitted.push({ path, reason: 'not_a_file' });
      else entries.set(path, entry);
    }
    level = folders.filter((path) => !ignored.has(path));
  }
  return { entries, omitted };
}

/** Converts an item to git’s terms; null where git cannot store it. */
export function entryOf({ kind, isExecutable, bytes }: Item): SnapshotEntry | null {
  if (kind === 'link') return { mode: '120000', bytes };
  if (kind === 'file') return { mode: isExecutable ? '100755' : '100644', bytes };
  return null;
}

/** Reads the .gitignore of a folder; null where it has none. git does not follow a link in its place either. */
async function readRules(folder: HostFolder, path: RawPath, listed: readonly Item[]): Promise<Buffer | null> {
  const item = listed.find(({ name, kind, bytes }) => name === '.gitignore' && kind === 'file' && bytes <= MAX_RULES_BYTES);
  if (item === undefined) return null;
  const file = path === '' ? item.name : `${path}/${item.name}`;
  return readEntry(folder, file, { mode: '100644', bytes: item.bytes }).catch(() => null);
}

/** Reads a file, or the text of a link. Throws the system’s error, or where a file is longer than its entry says. */
export async function readEntry(folder: HostFolder, path: RawPath, { mode, bytes }: SnapshotEntry): Promise<Buffer> {
  if (mode === '120000') return folder.readLink(path);
  await using file = await folder.openFile(path);
  // One more byte than expected: a file that grows is never read endlessly.
  const content = Buffer.alloc(bytes + 1);
  let length = 0;
  while (length <= bytes) {
    const { bytesRead } = await file.read(content, length, bytes + 1 - length, length);
    if (bytesRead === 0) return content.subarray(0, length);
    length += bytesRead;
  }
  throw new Error('The file grew while it was read.');
}
