import { setImmediate as breathe } from 'node:timers/promises';

import type { OmitReason } from '../contract/workspace-report.ts';
import type { GitOptions } from './git.ts';
import type { HostFolder, Item } from './host-folder.ts';
import { createIgnoreRules } from './ignore-rules.ts';
import type { RawPath } from './raw-path.ts';

/** Folders and files; more are named by their folder. */
const MAX_ITEMS = 500_000;
const MAX_DEPTH = 200;
const MAX_RULES_BYTES = 1024 * 1024;

export type FileMode = '100644' | '100755' | '120000';

/** A file or a link, as git knows them. */
export interface Entry {
  mode: FileMode;
  bytes: number;
}

/** Something of a folder that cannot go where the rest goes. */
export interface Left {
  path: RawPath;
  reason: OmitReason;
}

export interface Snapshot {
  entries: Map<RawPath, Entry>;
  left: Left[];
}

/**
 * The files and links of a folder without what its .gitignore files name and without the data of repositories, nested ones
 * included, whose files are like any others. What cannot be read is in `left`. Never throws for a single path.
 */
export async function takeSnapshot(folder: HostFolder, options: GitOptions): Promise<Snapshot> {
  const entries = new Map<RawPath, Entry>();
  const left: Left[] = [];
  const rules = await createIgnoreRules(options);
  let items = 0;
  let level: RawPath[] = [''];
  for (let depth = 0; level.length > 0; depth += 1) {
    const found: { path: RawPath; item: Item }[] = [];
    for (const path of level) {
      options.signal?.throwIfAborted();
      await breathe();
      if (depth > MAX_DEPTH || items > MAX_ITEMS) {
        left.push({ path, reason: 'too_large' });
        continue;
      }
      try {
        const listed = folder.list(path).filter(({ name }) => name !== '.git');
        items += listed.length;
        await rules.add(path, await readRules(folder, path, listed));
        for (const item of listed) found.push({ path: path === '' ? item.name : `${path}/${item.name}`, item });
      } catch {
        left.push({ path, reason: 'unreadable' });
      }
    }
    const folders = found.flatMap(({ path, item }) => (item.kind === 'folder' ? [path] : []));
    const ignored = await rules.ignored(
      found.map(({ path }) => path),
      folders,
    );
    for (const { path, item } of found) {
      if (ignored.has(path) || item.kind === 'folder') continue;
      const entry = entryOf(item);
      if (entry === null) left.push({ path, reason: 'not_a_file' });
      else entries.set(path, entry);
    }
    level = folders.filter((path) => !ignored.has(path));
  }
  return { entries, left };
}

/** Null for what git does not know. */
export function entryOf({ kind, isExecutable, bytes }: Item): Entry | null {
  if (kind === 'link') return { mode: '120000', bytes };
  if (kind === 'file') return { mode: isExecutable ? '100755' : '100644', bytes };
  return null;
}

/** Null where there are none; git does not follow a link in their place either. */
async function readRules(folder: HostFolder, path: RawPath, listed: readonly Item[]): Promise<Buffer | null> {
  const item = listed.find(({ name, kind, bytes }) => name === '.gitignore' && kind === 'file' && bytes <= MAX_RULES_BYTES);
  if (item === undefined) return null;
  const file = path === '' ? item.name : `${path}/${item.name}`;
  return readEntry(folder, file, { mode: '100644', bytes: item.bytes }).catch(() => null);
}

/** The content of a file, of a link its text. Throws the system's error, and where a file is longer than its entry tells. */
export async function readEntry(folder: HostFolder, path: RawPath, { mode, bytes }: Entry): Promise<Buffer> {
  if (mode === '120000') return folder.readLink(path);
  await using file = await folder.openFile(path);
  // One byte more than there was: a file that grows is never read without an end.
  const content = Buffer.alloc(bytes + 1);
  let length = 0;
  while (length <= bytes) {
    const { bytesRead } = await file.read(content, length, bytes + 1 - length, length);
    if (bytesRead === 0) return content.subarray(0, length);
    length += bytesRead;
  }
  throw new Error('the file grows');
}
