import { access, readFile, realpath } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { z } from 'zod';

/** An installed npm package. */
export interface InstalledPackage {
  name: string;
  version: string;
  /** The real path of the package’s folder. */
  folder: string;
  /** Names of its dependencies, including optional ones, which may not be installed. */
  needs: string[];
}

const manifestSchema = z.object({
  version: z.string(),
  dependencies: z.record(z.string(), z.string()).default({}),
  optionalDependencies: z.record(z.string(), z.string()).default({}),
});

const ownFolder = dirname(fileURLToPath(import.meta.url));

/** Finds a package as Node does for a file in `from`; default: Valetkey’s own installation. */
export async function findPackage(name: string, from: string = ownFolder): Promise<InstalledPackage | undefined> {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = await readPackage(name, join(folder, 'node_modules', name));
    if (found !== undefined || folder === dirname(folder)) return found;
  }
}

/** Finds the package of an executable on `path`. */
export async function findPackageOfExecutable(name: string, executable: string, path: string): Promise<InstalledPackage | undefined> {
  for (const folder of path.split(delimiter).filter((part) => part.startsWith('/'))) {
    const file = await realpath(join(folder, executable)).catch(() => undefined);
    const end = file?.lastIndexOf(`/node_modules/${name}/`) ?? -1;
    if (file === undefined || end === -1) continue;
    const found = await readPackage(name, file.slice(0, end + `/node_modules/${name}`.length));
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Returns the package and all its dependencies, one folder per name, the nearest first. Where two versions of a name are needed,
 * the second is inside the package that needs it, as npm places it, and comes with that package’s folder.
 */
export async function withDependencies(root: InstalledPackage): Promise<InstalledPackage[]> {
  const found = new Map([[root.name, root]]);
  for (const { needs, folder } of found.values()) {
    for (const name of needs) {
      if (found.has(name)) continue;
      const dependency = await findPackage(name, folder);
      if (dependency !== undefined) found.set(name, dependency);
    }
  }
  return [...found.values()];
}

/** Finds the first executable file of that name on `path`. */
export async function findExecutable(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter((part) => part.startsWith('/'))) {
    const file = join(folder, name);
    const isThere = await access(file, 1).then(
      () => true,
      () => false,
    );
    if (isThere) return file;
  }
  return undefined;
}

async function readPackage(name: string, at: string): Promise<InstalledPackage | undefined> {
  const folder = await realpath(at).catch(() => undefined);
  if (folder === undefined) return undefined;
  const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { version, dependencies, optionalDependencies } = manifestSchema.parse(JSON.parse(text));
  return { name, version, folder, needs: Object.keys({ ...dependencies, ...optionalDependencies }) };
}
