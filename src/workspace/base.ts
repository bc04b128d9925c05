import { readFile, rename, writeFile } from 'node:fs/promises';

import type { GitOptions } from './git.ts';
import type { HostFolder } from './host-folder.ts';
import { idOf } from './object-id.ts';
import type { RawPath } from './raw-path.ts';
import type { Repository, TreeEntry } from './repository.ts';
import { entryOf, takeSnapshot } from './snapshot.ts';

/**
 * Notes in `file` what is in the workspace now, as what the agent begins with: what commands made before it is not its work. Its
 * content is not kept, only what tells a change. Idempotent; the agent must not run yet.
 */
export async function writeBase(
  folder: HostFolder,
  repository: Repository,
  startCommit: string,
  file: string,
  options: GitOptions,
): Promise<void> {
  const { entries } = await takeSnapshot(folder, options);
  // What the start holds is compared also where it is ignored.
  for (const path of (await repository.readTree(startCommit)).keys()) {
    const item = entries.has(path) ? null : folder.look(path);
    const entry = item === null ? null : entryOf(item);
    if (entry !== null) entries.set(path, entry);
  }
  const lines: string[] = [];
  for (const [path, entry] of entries) {
    options.signal?.throwIfAborted();
    const id = await idOf(folder, path, entry, repository.format).catch(() => null);
    if (id !== null) lines.push(`${entry.mode} ${id} ${entry.bytes}\t${path}\0`);
  }
  await writeFile(`${file}.part`, lines.join(''), 'latin1');
  await rename(`${file}.part`, file);
}

/** What was noted there; null where nothing was. */
export async function readBase(file: string): Promise<Map<RawPath, TreeEntry> | null> {
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
