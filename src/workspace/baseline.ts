import { readFile, rename, writeFile } from 'node:fs/promises';

import type { GitOptions } from './git.ts';
import type { HostFolder } from './host-folder.ts';
import { entryId } from './object-id.ts';
import type { RawPath } from './raw-path.ts';
import type { Repository, TreeEntry } from './repository.ts';
import { entryOf, takeSnapshot } from './snapshot.ts';

/**
 * Records in `file` the state of the workspace as the agent’s baseline: what setup commands changed before is not the agent’s
 * work. Contents are not stored, only what is needed to detect a change. Idempotent. The agent must not run yet.
 */
export async function writeBaseline(
  folder: HostFolder,
  repository: Repository,
  startCommit: string,
  file: string,
  options: GitOptions,
): Promise<void> {
  const { entries } = await takeSnapshot(folder, options);
  // Files of the start commit are compared even where they are ignored.
  for (const path of (await repository.readTree(startCommit)).keys()) {
    const item = entries.has(path) ? null : folder.stat(path);
    const entry = item === null ? null : entryOf(item);
    if (entry !== null) entries.set(path, entry);
  }
  const lines: string[] = [];
  for (const [path, entry] of entries) {
    options.signal?.throwIfAborted();
    const id = await entryId(folder, path, entry, repository.format).catch(() => null);
    if (id !== null) lines.push(`${entry.mode} ${id} ${entry.bytes}\t${path}\0`);
  }
  await writeFile(`${file}.part`, lines.join(''), 'latin1');
  await rename(`${file}.part`, file);
}

/** Reads the baseline; null where none was recorded. */
export async function readBaseline(file: string): Promise<Map<RawPath, TreeEntry> | null> {
  const text = await readFile(file, 'latin1').catch(() => null);
  if (text === null) return null;
  const entries = new Map<RawPath, TreeEntry>();
  for (const line of text.split('\0')) {
    const tab = line.indexOf('\t');
    const [mode = '', id = '', bytes] = line.slice(0, tab).split(' ');
    if (tab !== -1) entries.set(line.slice(tab + 1), { mode, id, bytes: Number(bytes) });
  }
  return entries;
}
