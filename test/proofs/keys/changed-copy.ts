import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../../..');
const PARTS = ['src', 'test', 'scripts', 'bench', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

export interface Change {
  /** Under src/. */
  file: string;
  /** Stands there once, or the change is out of date. */
  text: string;
  replacement: string;
}

/** Does the work with the folder of a copy of the code that has a change in it, and removes the copy. Throws where it cannot be made. */
export async function withChange<T>({ file, text, replacement }: Change, work: (copy: string) => Promise<T>): Promise<T> {
  const copy = await mkdtemp(join(tmpdir(), 'vk-changed-'));
  try {
    for (const part of PARTS) await cp(join(ROOT, part), join(copy, part), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const path = join(copy, 'src', file);
    const source = await readFile(path, 'utf8');
    if (source.split(text).length !== 2) throw new Error(`${file} does not have once: ${text}`);
    await writeFile(
      path,
      source.replace(text, () => replacement),
    );
    return await work(copy);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}
