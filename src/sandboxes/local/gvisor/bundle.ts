import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { FirstProgram } from '../isolator.ts';
import { ociConfig, ROOT_FOLDER } from './oci-config.ts';

/** Returns the folder of a sandbox’s OCI bundle, in which gVisor also keeps its state. */
export function bundleFolder(sandbox: string): string {
  return `${sandbox}/gvisor`;
}

/** Writes the bundle of a sandbox into its folder and resolves to its path. */
export async function writeBundle(program: FirstProgram): Promise<string> {
  const bundle = bundleFolder(program.folder.path);
  const root = join(bundle, ROOT_FOLDER);
  await mkdir(bundle, { mode: 0o700 });
  await mkdir(root);
  await chmod(root, 0o755);
  for (const mount of program.mounts) if ('target' in mount) await createLink(join(root, mount.at), mount.target);
  await writeFile(join(bundle, 'config.json'), JSON.stringify(ociConfig(program)), { mode: 0o600 });
  return bundle;
}

async function createLink(path: string, target: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await symlink(target, path);
}
