import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { git, gitBytes, type GitOptions } from './git.ts';
import { pathBytes, type RawPath } from './raw-path.ts';

/** What the .gitignore files of a folder say, as far as they were added. */
export interface IgnoreRules {
  /** A folder, and its .gitignore where it has one. Those above it come first. */
  add(folder: RawPath, rules: Buffer | null): Promise<void>;
  /** Those of the paths that are ignored; the folders above them were added. */
  ignored(paths: readonly RawPath[], folders: readonly RawPath[]): Promise<ReadonlySet<RawPath>>;
}

/**
 * Lets git decide over a copy of the folders and their .gitignore files alone, below `options.cwd`: what else lies in the folder
 * cannot reach it. Where git cannot tell, nothing is ignored.
 */
export async function createIgnoreRules(options: GitOptions): Promise<IgnoreRules> {
  const copy = Buffer.from(`${join(options.cwd, 'rules')}/`);
  const repository = join(options.cwd, 'rules.git');
  await mkdir(copy, { recursive: true });
  await git('Preparing the workspace', ['init', '--quiet', '--bare', '--template=', repository], options);
  const at = (path: RawPath): Buffer => Buffer.concat([copy, pathBytes(path)]);

  return {
    async add(folder, rules) {
      // A path that is too long for the copy is one that no rule meets.
      await mkdir(at(folder), { recursive: true }).catch(() => undefined);
      if (rules !== null) await writeFile(Buffer.concat([at(folder), Buffer.from('/.gitignore')]), rules).catch(() => undefined);
    },
    async ignored(paths, folders) {
      if (paths.length === 0) return new Set();
      for (const folder of folders) await mkdir(at(folder), { recursive: true }).catch(() => undefined);
      const flags = ['--git-dir', repository, '--work-tree', copy.toString(), '-c', 'core.excludesFile=/dev/null'];
      const output = await gitBytes('Reading .gitignore', [...flags, 'check-ignore', '--stdin', '-z', '--no-index'], {
        ...options,
        cwd: copy.toString(),
        env: { ...options.env, HOME: repository },
        // So that no name is taken for a pattern with a meaning of its own.
        input: Buffer.concat(paths.map((path) => pathBytes(`./${path}\0`))),
        accept: [1],
      }).catch(() => Buffer.alloc(0));
      options.signal?.throwIfAborted();
      const found = output.toString('latin1').split('\0').filter(Boolean);
      return new Set(found.map((path) => path.slice(2)));
    },
  };
}
