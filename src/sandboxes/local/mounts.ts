import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';

import type { SandboxFolder } from '../host/folder.ts';
import { insidePaths } from '../launch/inside.ts';
import type { HostPart } from '../launch/tools.ts';
import type { Group } from './cgroup.ts';

/** What a sandbox has at the path `at`: a file or folder of the host, or a link. */
export type Mount = { at: string; source: string; isWritable: boolean } | { at: string; target: string };

export interface MountsRequest {
  folder: SandboxFolder;
  gatewayFolder: string;
  node: string;
  server: string;
  packages: readonly HostPart[];
  /** The folder that becomes /etc. */
  etc: string;
  /** Further folders of the host, each mounted at its own path. */
  mounts: readonly string[];
  groups: readonly Group[];
  hasEgress: boolean;
}

/**
 * Lists the file system of a sandbox, whatever isolates it; a mount comes after those that it lies in. `/proc` and `/dev` are the
 * isolation’s own.
 */
export async function sandboxMounts(request: MountsRequest): Promise<Mount[]> {
  const { folder, gatewayFolder, node, server, packages, etc, mounts, groups, hasEgress } = request;
  const at = insidePaths;
  return [
    ...[readOnly('/usr', '/usr'), ...(await systemFolders())],
    ...[readOnly(etc, '/etc'), readOnly(join(folder.tools, 'machine-id'), '/etc/machine-id')],
    // A sandbox sees its own control groups and no others.
    ...groups.map(({ path, seenAt }) => readOnly(path, seenAt)),
    ...[readOnly(folder.tools, at.tools), readOnly(node, at.node), readOnly(server, at.server)],
    ...packages.map(({ name, path }) => readOnly(path, join(at.nodeModules, name))),
    ...(hasEgress ? [readOnly(folder.egress, at.egressFolder)] : []),
    readOnly(gatewayFolder, at.gatewayFolder),
    ...[writable(folder.tmp, '/tmp'), writable(folder.varTmp, '/var/tmp'), { at: '/var/run', target: '/run' }],
    ...[writable(folder.run, at.run), writable(folder.home, at.home), writable(folder.workspace, at.workspace)],
    ...mounts.map((path) => readOnly(path, path)),
  ];
}

function readOnly(source: string, at: string): Mount {
  return { at, source, isWritable: false };
}

function writable(source: string, at: string): Mount {
  return { at, source, isWritable: true };
}

/** /bin, /lib and so on: links into /usr, or folders of their own on some systems. */
async function systemFolders(): Promise<Mount[]> {
  const mounts = await Promise.all(
    ['/bin', '/sbin', '/lib', '/lib32', '/lib64'].map(async (path): Promise<Mount[]> => {
      const stats = await lstat(path).catch(() => undefined);
      if (stats === undefined) return [];
      return [stats.isSymbolicLink() ? { at: path, target: await readlink(path) } : readOnly(path, path)];
    }),
  );
  return mounts.flat();
}
