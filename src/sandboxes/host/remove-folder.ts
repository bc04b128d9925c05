import { execFile } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { hasErrorCode } from '../../system/error-code.ts';
import { LABEL_FILE } from './folder.ts';

/** Removes a job’s folder, the labels last: a folder whose removal failed or was cut off is still listed. */
export async function removeFolder(folder: string): Promise<void> {
  for (const incarnation of await readdir(folder).catch(() => []))
    for (const name of await readdir(join(folder, incarnation)).catch(() => []))
      if (name !== LABEL_FILE) await removeTree(join(folder, incarnation, name));
  await removeTree(folder);
}

async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    if (!hasErrorCode(error, 'EACCES')) throw error;
    // Some tools make the folders of their caches read-only.
    await promisify(execFile)('chmod', ['-R', 'u+rwX', path]);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}
