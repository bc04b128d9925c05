import { mkdir } from 'node:fs/promises';

import { hasErrorCode } from './error-code.ts';

/**
 * Creates a folder and the ones between it and `root`, which must exist: where another process has removed `root` meanwhile, a
 * recursive `mkdir` would create it again, and nobody would remove it. Throws `ENOENT` there.
 */
export async function createBelow(root: string, ...below: string[]): Promise<void> {
  let path = root;
  for (const name of below.flatMap((part) => part.split('/'))) {
    path = `${path}/${name}`;
    await mkdir(path).catch((error: unknown) => {
      if (!hasErrorCode(error, 'EEXIST')) throw error;
    });
  }
}
