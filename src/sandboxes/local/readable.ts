import { createHash, randomBytes } from 'node:crypto';
import { chmod, copyFile, link, lstat, mkdir, readdir, readlink, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ValetkeyError } from '../../contract/errors.ts';
import { isCode } from './folder.ts';

/** A file or a folder of the host that sandboxes use. */
export interface Part {
  /** Relative path under which a copy is kept. */
  name: string;
  path: string;
}

/**
 * Parts that the user of sandboxes can read: those given, where every folder above lets others pass, else links or copies of
 * all of them below `copies`, made once for each version. A root user's home is the common case.
 */
export async function makeReadable(parts: readonly Part[], copies: string): Promise<readonly Part[]> {
  const blocked = await Promise.all(parts.map(async ({ path }) => await firstBlocked(path)));
  if (blocked.every((path) => path === undefined)) return parts;
  const kept = join(copies, await fingerprint(parts));
  const there = parts.map(({ name }) => ({ name, path: join(kept, name) }));
  if (await exists(kept)) return there;
  const draft = `${kept}.${randomBytes(4).toString('hex')}`;
  try {
    for (const { name, path } of parts) await duplicate(path, join(draft, name));
    await rename(draft, kept);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another worker was faster.
    if (!isCode(error, 'ENOTEMPTY') && !isCode(error, 'EEXIST')) throw error;
  }
  return there;
}

/** Throws `sandbox_start_failed` that names the folder which keeps the user of sandboxes out. */
export async function requireReadable(path: string, variable: string): Promise<void> {
  const blocked = await firstBlocked(path);
  if (blocked === undefined) return;
  throw new ValetkeyError(
    'sandbox_start_failed',
    `Other users cannot enter ${blocked}: chmod o+rx ${blocked}, or set ${variable} to another folder.`,
  );
}

/** The first part of a path that others cannot pass or, for the last part, read. */
export async function firstBlocked(path: string): Promise<string | undefined> {
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

/** Changes whenever a package is installed anew. */
async function fingerprint(parts: readonly Part[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, path } of parts) {
    const { ino, mtimeMs, size } = await stat(path);
    hash.update(JSON.stringify([name, await realpath(path), ino, mtimeMs, size]));
  }
  return hash.digest('hex').slice(0, 16);
}

async function duplicate(from: string, to: string): Promise<void> {
  const stats = await lstat(from);
  await openFolder(dirname(to));
  if (stats.isSymbolicLink()) return await symlink(await readlink(from), to);
  if (stats.isDirectory()) {
    await openFolder(to);
    for (const name of await readdir(from)) await duplicate(join(from, name), join(to, name));
    return;
  }
  const mode = 0o444 | ((stats.mode & 0o100) === 0 ? 0 : 0o111);
  if ((stats.mode & mode) === mode && (await linked(from, to))) return;
  await copyFile(from, to);
  await chmod(to, mode);
}

/** Makes a folder, and those above it, that others can enter whatever the umask is. */
export async function openFolder(path: string): Promise<void> {
  if (await exists(path)) return;
  await openFolder(dirname(path));
  await mkdir(path, { recursive: true });
  await chmod(path, 0o755);
}

/** Another filesystem, or one that forbids links. */
async function linked(from: string, to: string): Promise<boolean> {
  return await link(from, to).then(
    () => true,
    () => false,
  );
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
