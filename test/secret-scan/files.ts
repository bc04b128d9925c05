import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

import { jobFolder } from '../../src/sandboxes/host/folder.ts';
import type { Place } from './place.ts';

/** Every file in a stack's folder but its log. The sandbox of a job that runs has the key in its home: that is left out. */
export async function fileTexts(stateDir: string, runningJobs: ReadonlySet<string>): Promise<Place[]> {
  const running = Array.from(runningJobs, (jobId) => jobFolder(stateDir, jobId));
  const isHome = (folder: string): boolean => /^jobs\/[^/]+\/[^/]+\/home$/.test(relative(stateDir, folder));
  const files = await filesIn(stateDir, (folder) => isHome(folder) && running.some((job) => folder.startsWith(job)));
  return Promise.all(
    files
      .filter((file) => file !== join(stateDir, 'log.jsonl'))
      .map(async (file): Promise<Place> => [`file ${relative(stateDir, file)}`, await readFile(file, 'latin1').catch(() => '')]),
  );
}

/** One that is gone by now is no file. */
async function filesIn(folder: string, isLeftOut: (folder: string) => boolean): Promise<string[]> {
  const entries = isLeftOut(folder) ? [] : await readdir(folder, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesIn(path, isLeftOut);
      return entry.isFile() ? [path] : [];
    }),
  );
  return found.flat();
}
