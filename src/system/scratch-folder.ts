import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { isRunning } from './is-running.ts';

/** Creates an empty folder in `root`. The caller removes it; its name says whose it is, so that another process can where this one is killed. */
export async function createScratchFolder(root: string): Promise<string> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  return mkdtemp(join(root, `${process.pid}-`));
}

/** Removes the folders in `root` whose processes have ended. Throws nothing. */
export async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root).catch(() => []))
    if (!isRunning(Number.parseInt(name, 10))) await rm(join(root, name), { recursive: true, force: true }).catch(() => {});
}
