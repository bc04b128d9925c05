import { constants } from 'node:fs';
import { mkdir, open, symlink, type FileHandle } from 'node:fs/promises';

import { ValetkeyError } from '../../contract/errors.ts';
import { hasErrorCode } from '../../system/error-code.ts';
import { tarEntries, type TarEntry } from './tar-entries.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

export interface UnpackLimits {
  bytes: number;
  entries: number;
}

/**
 * Unpacks the archive of an untrusted workspace into a new, empty folder of this host. Nothing outside the folder is written,
 * whatever the archive says: each name is created new and only below folders that this function created, so no link is ever
 * followed. Links are created as they are, and pipes, sockets and devices left out. Throws `workspace_failed` where the archive is
 * damaged, repeats or forges a path, or exceeds a limit.
 */
export async function unpack(archive: AsyncIterable<Uint8Array>, folder: string, limits: UnpackLimits): Promise<void> {
  const folders = new Set(['']);
  let file: FileHandle | null = null;
  let left = { ...limits };
  try {
    for await (const part of tarEntries(archive)) {
      if ('content' in part) {
        left = spend(left, part.content.length, 0);
        await file?.write(part.content);
        continue;
      }
      await file?.close();
      left = spend(left, 0, 1);
      file = await create(folder, folders, part.entry);
    }
  } finally {
    await file?.close();
  }
}

/** Creates an entry. Resolves to the open file, where it is one. */
async function create(folder: string, folders: Set<string>, { path, kind, isExecutable, target }: TarEntry): Promise<FileHandle | null> {
  if (path === '' || path === '.') return null;
  const names = path.split('/');
  if (names.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0'))) throw forged();
  if (kind === 'other') return null;
  for (let length = 1; length < names.length; length += 1) await createFolder(folder, folders, names.slice(0, length).join('/'));
  const at = pathIn(folder, path);
  try {
    switch (kind) {
      case 'folder':
        await createFolder(folder, folders, path);
        return null;
      case 'link':
        await symlink(Buffer.from(target, 'latin1'), at);
        return null;
      case 'file':
        return await open(at, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, isExecutable ? 0o700 : 0o600);
    }
  } catch (error) {
    throw hasErrorCode(error, 'EEXIST') ? forged() : error;
  }
}

/** Creates a folder unless this function has created it before. */
async function createFolder(folder: string, folders: Set<string>, path: string): Promise<void> {
  if (folders.has(path)) return;
  await mkdir(pathIn(folder, path), { mode: 0o700 }).catch((error: unknown) => {
    throw hasErrorCode(error, 'EEXIST') ? forged() : error;
  });
  folders.add(path);
}

function pathIn(folder: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(path, 'latin1')]);
}

function spend(left: UnpackLimits, bytes: number, entries: number): UnpackLimits {
  if (left.bytes < bytes || left.entries < entries)
    throw new ValetkeyError('workspace_failed', 'The workspace in the sandbox is too large to be collected from a remote sandbox.');
  return { bytes: left.bytes - bytes, entries: left.entries - entries };
}

function forged(): ValetkeyError {
  return new ValetkeyError('workspace_failed', 'The archive of the workspace holds a path that is forged or repeated.');
}
