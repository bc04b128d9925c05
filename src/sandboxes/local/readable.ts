import { createHash, randomBytes } from 'node:crypto';
import { chmod, copyFile, link, lstat, mkdir, readdir, readlink, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ValetkeyError } from '../../contract/errors.ts';
import { hasErrorCode } from '../../system/error-code.ts';
import { exists } from '../../system/exists.ts';
import type { HostPart } from '../launch/tools.ts';

/**
 * Returns parts that the sandboxes’ user can read: the given ones where every folder above lets others pass, else links or copies
 * of all of them below `copies`, made once per version. This is for parts in root’s home.
 */
export async function makeReadable(parts: readonly HostPart[], copies: string): Promise<readonly HostPart[]> {
  const unreadable = await Promise.all(parts.map(async ({ path }) => await firstUnreadable(path)));
  if (unreadable.every((path) => path === undefined)) return parts;
  const copy = join(copies, await fingerprint(parts));
  const copied = parts.map(({ name }) => ({ name, path: join(copy, name) }));
  if (await exists(copy)) return copied;
  const draft = `${copy}.${randomBytes(4).toString('hex')}`;
  try {
    for (const { name, path } of parts) await copyReadable(path, join(draft, name));
    await rename(draft, copy);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another worker created the copy first.
    if (!hasErrorCode(error, 'ENOTEMPTY') && !hasErrorCode(error, 'EEXIST')) throw error;
  }
  return copied;
}

/**
 * Requires that the sandboxes’ user can enter and read a path. Throws `sandbox_start_failed`, which names the folder that it
 * cannot enter.
 */
export async function requireReadable(path: string, variable: string): Promise<void> {
  const unreadable = await firstUnreadable(path);
  if (unreadable === undefined) return;
  throw new ValetkeyError(
    'sandbox_start_failed',
    `The sandboxes’ user cannot enter ${unreadable}: run chmod o+rx ${unreadable}, or set ${variable} to another folder.`,
  );
}

/** Returns the first part of a path that others cannot pass or, for the last part, read. */
export async function firstUnreadable(path: string): Promise<string | undefined> {
  const target = await realpath(path);
  const { mode } = await stat(target);
  for (const folder of ancestors(target)) {
    if (((await stat(folder)).mode & 0o001) === 0) return folder;
  }
  return (mode & 0o005) === 0o005 ? undefined : target;
}

function ancestors(path: string): string[] {
  return path === '/' ? [] : [...ancestors(dirname(path)), dirname(path)];
}

/** Changes whenever a package is installed again. */
async function fingerprint(parts: readonly HostPart[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, path } of parts) {
    const { ino, mtimeMs, size } = await stat(path);
    hash.update(JSON.stringify([name, await realpath(path), ino, mtimeMs, size]));
  }
  return hash.digest('hex').slice(0, 16);
}

/** Links or copies a file or a folder so that everyone can read it. Throws the file system’s errors. */
export async function copyReadable(from: string, to: string): Promise<void> {
  const stats = await lstat(from);
  await createOpenFolder(dirname(to));
  if (stats.isSymbolicLink()) return await symlink(await readlink(from), to);
  if (stats.isDirectory()) {
    await createOpenFolder(to);
    for (const name of await readdir(from)) await copyReadable(join(from, name), join(to, name));
    return;
  }
  const mode = 0o444 | ((stats.mode & 0o100) === 0 ? 0 : 0o111);
  if ((stats.mode & mode) === mode && (await tryLink(from, to))) return;
  await copyFile(from, to);
  await chmod(to, mode);
}

/** Creates a folder and those above it so that others can enter them whatever the umask is. */
export async function createOpenFolder(path: string): Promise<void> {
  if (await exists(path)) return;
  await createOpenFolder(dirname(path));
  await mkdir(path, { recursive: true });
  await chmod(path, 0o755);
}

/** Links a file; false where the copy is on another file system, or on one that forbids links. */
async function tryLink(from: string, to: string): Promise<boolean> {
  return await link(from, to).then(
    () => true,
    () => false,
  );
}
