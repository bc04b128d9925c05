import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { gitBytes, initBare, type GitOptions } from './git.ts';
import { pathBytes, type RawPath } from './raw-path.ts';

/** The rules of a folder’s .gitignore files, as far as they were added. */
export interface IgnoreRules {
  /** Adds a folder, and its .gitignore where it has one. Folders above it are added first. */
  add(folder: RawPath, rules: Buffer | null): Promise<void>;
  /** Returns the ignored paths. The folders above them must have been added. */
  findIgnored(paths: readonly RawPath[], folders: readonly RawPath[]): Promise<ReadonlySet<RawPath>>;
}

/**
 * Lets git decide on a copy of the folders and their .gitignore files alone, below `options.cwd`, so that nothing else in the
 * folder can influence it. Where git fails, nothing is ignored.
 */
export async function createIgnoreRules(options: GitOptions): Promise<IgnoreRules> {
  const copy = Buffer.from(`${join(options.cwd, 'rules')}/`);
  const repository = join(options.cwd, 'rules.git');
  await mkdir(copy);
  await initBare(repository, options);
  const at = (path: RawPath): Buffer => Buffer.concat([copy, pathBytes(path)]);

  return {
    async add(folder, rules) {
      // A path that is too long for the copy is treated as one that no rule matches.
      await mkdir(at(folder)).catch(() => undefined);
      if (rules !== null) await writeFile(Buffer.concat([at(folder), Buffer.from('/.gitignore')]), rules).catch(() => undefined);
    },
    async findIgnored(paths, folders) {
      if (paths.length === 0) return new Set();
      for (const folder of folders) await mkdir(at(folder)).catch(() => undefined);
      const flags = ['--git-dir', repository, '--work-tree', copy.toString(), '-c', 'core.excludesFile=/dev/null'];
      const output = await gitBytes('Reading .gitignore', [...flags, 'check-ignore', '--stdin', '-z', '--no-index'], {
        ...options,
        cwd: copy.toString(),
        env: { ...options.env, HOME: repository },
        // The prefix keeps git from reading a name as pathspec magic.
        input: Buffer.concat(paths.map((path) => pathBytes(`./${path}\0`))),
        accept: [1],
      }).catch(() => Buffer.alloc(0));
      options.signal?.throwIfAborted();
      const found = output.toString('latin1').split('\0').filter(Boolean);
      return new Set(found.map((path) => path.slice(2)));
    },
  };
}
