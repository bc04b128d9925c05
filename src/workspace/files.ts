import { ValetkeyError } from '../contract/errors.ts';
import type { OmitReason } from '../contract/workspace-report.ts';
import type { HostFolder } from './host-folder.ts';
import { rawPath, type RawPath } from './raw-path.ts';
import { readEntry } from './snapshot.ts';

/** The limit of Linux. */
const MAX_LINKS = 40;

/** A file that the job named, or why it was not collected. */
export type CollectedFile = { content: Buffer } | { reason: Extract<OmitReason, 'missing' | 'outside' | 'too_large' | 'unreadable'> };

/**
 * Reads a file of the workspace by its path there. Links are followed as they lead inside the sandbox, where the workspace is at
 * `inside`. A link that leads out of the workspace is refused, so that every collected file is from the workspace.
 */
export async function collectFile(folder: HostFolder, file: string, inside: string, maxBytes: number): Promise<CollectedFile> {
  try {
    const path = resolve(folder, rawPath(file), rawPath(inside));
    if (path === 'missing' || path === 'outside') return { reason: path };
    const item = folder.stat(path.at);
    if (item?.kind !== 'file') return { reason: 'missing' };
    if (item.bytes > maxBytes) return { reason: 'too_large' };
    return { content: await readEntry(folder, path.at, { mode: '100644', bytes: item.bytes }) };
  } catch (error) {
    if (ValetkeyError.is(error)) throw error;
    return { reason: 'unreadable' };
  }
}

/** Resolves the links of a path. */
function resolve(folder: HostFolder, path: RawPath, inside: RawPath): { at: RawPath } | 'missing' | 'outside' {
  let todo = path.split('/');
  let done: RawPath[] = [];
  let links = 0;
  while (todo.length > 0) {
    const [name = '', ...rest] = todo;
    todo = rest;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (done.length === 0) return 'outside';
      done = done.slice(0, -1);
      continue;
    }
    const at = [...done, name].join('/');
    const item = folder.stat(at);
    if (item === null) return 'missing';
    if (item.kind !== 'link') {
      done = [...done, name];
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) return 'missing';
    const target = folder.readLink(at).toString('latin1');
    if (!target.startsWith('/')) todo = [...target.split('/'), ...todo];
    else if (target === inside || target.startsWith(`${inside}/`)) {
      done = [];
      todo = [...target.slice(inside.length).split('/'), ...todo];
    } else return 'outside';
  }
  return { at: done.join('/') };
}
