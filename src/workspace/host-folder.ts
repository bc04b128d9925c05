import { chmodSync, closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import { pathBytes, type RawPath } from './raw-path.ts';

/** Linux: a descriptor that names a file without opening it. Node has no constant for it. */
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

export interface Item {
  name: RawPath;
  /** `other`: a socket, a pipe, a device. */
  kind: 'file' | 'folder' | 'link' | 'other';
  isExecutable: boolean;
  bytes: number;
}

/**
 * A folder of this host whose content a stranger made. Every step goes from one opened folder to a name in it and follows no
 * link, so nothing outside is reached, whatever is changed meanwhile; nothing but regular files is opened. Its methods throw
 * the errors of the system.
 */
export interface HostFolder {
  list(folder: RawPath): Item[];
  /** Null where there is nothing of that path. */
  look(path: RawPath): Item | null;
  readLink(path: RawPath): Buffer;
  /** The caller closes it. */
  openFile(path: RawPath): Promise<FileHandle>;
  close(): void;
}

/**
 * Opens a folder. `makeReadable`: what its owner took the right to read from is given it back, for a folder that nobody uses any
 * more.
 */
export function openHostFolder(hostPath: string, { makeReadable = false } = {}): HostFolder {
  const root = openSync(hostPath, O_PATH | O_DIRECTORY | O_NOFOLLOW);

  /** Runs what needs the right to pass or to read what the descriptor names. */
  function allowed<T>(descriptor: number, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!makeReadable || !isCode(error, 'EACCES')) throw error;
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
        // Deep trees would use up the descriptors.
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
    look(path) {
      try {
        return inParent(path, (parent, name) => {
          const stats = statsOf(parent, name);
          return stats === null ? null : itemOf(name, stats);
        });
      } catch (error) {
        if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') || isCode(error, 'ELOOP') || isCode(error, 'ENAMETOOLONG')) return null;
        throw error;
      }
    },
    readLink: (path) => inParent(path, (parent, name) => readlinkSync(below(parent, name), 'buffer')),
    async openFile(path) {
      const descriptor = inParent(path, (parent, name) => openSync(below(parent, name), O_PATH | O_NOFOLLOW));
      try {
        if (!fstatSync(descriptor).isFile()) throw Object.assign(new Error('not a regular file'), { code: 'ENOTSUP' });
        try {
          return await open(itself(descriptor), O_RDONLY);
        } catch (error) {
          if (!makeReadable || !isCode(error, 'EACCES')) throw error;
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

/** What is removed between the list and the look is not there. */
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

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
