import { chmodSync, closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import { hasErrorCode } from '../system/error-code.ts';
import { pathBytes, type RawPath } from './raw-path.ts';

/** Linux: opens a descriptor that names a file without opening the file itself. Node has no constant for it. */
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

export interface Item {
  name: RawPath;
  /** `other`: a socket, a pipe or a device. */
  kind: 'file' | 'folder' | 'link' | 'other';
  isExecutable: boolean;
  bytes: number;
}

/**
 * A folder of this host with untrusted content. Each step goes from an open folder to a name in it and follows no link, so nothing
 * outside is reached, whatever changes meanwhile; nothing but regular files is opened. The methods throw the system’s errors.
 */
export interface HostFolder {
  list(folder: RawPath): Item[];
  /** Returns the item at a path; null where there is none. */
  stat(path: RawPath): Item | null;
  readLink(path: RawPath): Buffer;
  /** Opens a regular file. The caller closes it. */
  openFile(path: RawPath): Promise<FileHandle>;
  close(): void;
}

/**
 * Opens a folder. `restoreAccess`: restores the owner’s right to read where it is missing, for a folder that nobody uses any more.
 */
export function openHostFolder(hostPath: string, { restoreAccess = false } = {}): HostFolder {
  const root = openSync(hostPath, O_PATH | O_DIRECTORY | O_NOFOLLOW);

  /** Runs `work`, which needs the right to enter or to read the folder of the descriptor. */
  function allowed<T>(descriptor: number, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!restoreAccess || !hasErrorCode(error, 'EACCES')) throw error;
      const { mode } = fstatSync(descriptor);
      chmodSync(itself(descriptor), (mode & 0o7777) | 0o700);
      return work();
    }
  }

  function within<T>(folder: RawPath, work: (descriptor: number) => T): T {
    const opened: number[] = [];
    try {
      let at = root;
      for (const name of folder === '' ? [] : folder.split('/')) {
        const from = at;
        at = allowed(from, () => openSync(below(from, name), O_PATH | O_DIRECTORY | O_NOFOLLOW));
        opened.push(at);
        // Deep trees would exhaust the descriptors.
        if (opened.length > 1) closeSync(opened.shift() ?? -1);
      }
      return work(at);
    } finally {
      for (const descriptor of opened) closeSync(descriptor);
    }
  }

  const inParent = <T>(path: RawPath, work: (parent: number, name: RawPath) => T): T => {
    const slash = path.lastIndexOf('/');
    return within(slash === -1 ? '' : path.slice(0, slash), (parent) => allowed(parent, () => work(parent, path.slice(slash + 1))));
  };

  return {
    list: (folder) =>
      within(folder, (at) => {
        const names = allowed(at, () => readdirSync(itself(at), 'buffer')).map((name) => name.toString('latin1'));
        return names.flatMap((name) => {
          const stats = allowed(at, () => statsOf(at, name));
          return stats === null ? [] : [itemOf(name, stats)];
        });
      }),
    stat(path) {
      try {
        return inParent(path, (parent, name) => {
          const stats = statsOf(parent, name);
          return stats === null ? null : itemOf(name, stats);
        });
      } catch (error) {
        if (
          hasErrorCode(error, 'ENOENT') ||
          hasErrorCode(error, 'ENOTDIR') ||
          hasErrorCode(error, 'ELOOP') ||
          hasErrorCode(error, 'ENAMETOOLONG')
        )
          return null;
        throw error;
      }
    },
    readLink: (path) => inParent(path, (parent, name) => readlinkSync(below(parent, name), 'buffer')),
    async openFile(path) {
      const descriptor = inParent(path, (parent, name) => openSync(below(parent, name), O_PATH | O_NOFOLLOW));
      try {
        if (!fstatSync(descriptor).isFile()) throw Object.assign(new Error('The path is not a regular file.'), { code: 'ENOTSUP' });
        try {
          return await open(itself(descriptor), O_RDONLY);
        } catch (error) {
          if (!restoreAccess || !hasErrorCode(error, 'EACCES')) throw error;
          chmodSync(itself(descriptor), 0o600);
          return await open(itself(descriptor), O_RDONLY);
        }
      } finally {
        closeSync(descriptor);
      }
    },
    close: () => closeSync(root),
  };
}

/** Reads the status of an item; null where it was removed since it was listed. */
function statsOf(folder: number, name: RawPath): Stats | null {
  return lstatSync(below(folder, name), { throwIfNoEntry: false }) ?? null;
}

function itemOf(name: RawPath, stats: Stats): Item {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'other';
  return { name, kind, isExecutable: (stats.mode & 0o100) !== 0, bytes: stats.size };
}

function itself(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

function below(descriptor: number, name: RawPath): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${descriptor}/`), pathBytes(name)]);
}
