import { lstat, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { codex, codexPlatformPackage, codexVendorFolder } from '../../agents/codex.ts';
import { findAgentPackage } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { findExecutable, findPackage } from '../../system/packages.ts';
import type { SandboxFolder } from '../host/folder.ts';
import { insidePaths } from '../launch/inside.ts';
import { SANDBOX_UID, type HostPart, type UserIdentity } from '../launch/tools.ts';
import { groupMounts, type Group } from './cgroup.ts';
import { decideNamespaceProblem, NAMESPACE_SETTINGS, type NamespaceSettings } from './decide-namespace-problem.ts';
import { prlimitCommand } from './prlimit.ts';

const MIB = 1024 * 1024;
/** The size of /dev/shm as a share of the memory limit; control groups count it as memory. */
const SHM_SHARE = 0.25;
/** Runtimes read these to count CPUs and to size pages and heaps. They are the same for every user of the host. */
const HARDWARE_INFO_FOLDERS = ['/sys/devices/system/cpu', '/sys/devices/system/node', '/sys/kernel/mm/transparent_hugepage'];

/** Paths of bubblewrap: the one on PATH, then the static one in Codex’s package. */
export async function bubblewrapCandidates(path: string, agentsDir: string | undefined): Promise<string[]> {
  const adapter = codex.package === null ? undefined : await findAgentPackage(codex.package, { agentsDir, path });
  const launcher = await findPackage('@openai/codex', adapter?.folder);
  const bundled = await findPackage(codexPlatformPackage, launcher?.folder);
  const installed = await findExecutable('bwrap', path);
  return [
    ...(installed === undefined ? [] : [installed]),
    ...(bundled === undefined ? [] : [join(bundled.folder, codexVendorFolder, 'codex-resources/bwrap')]),
  ];
}

/**
 * Returns whether this bubblewrap supports what `bubblewrapArguments` uses: old versions do not, nor do hosts that forbid user namespaces.
 */
export async function canIsolate(bubblewrap: string, identity: UserIdentity): Promise<boolean> {
  const args = [...namespaces, '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', '--disable-userns', '--', '/bin/true'];
  const { failed } = await execa(bubblewrap, args, {
    ...identity,
    cwd: '/',
    env: {},
    extendEnv: false,
    stdio: 'ignore',
    reject: false,
    timeout: 10_000,
  });
  return !failed;
}

const namespaces = [
  ...['--unshare-user', '--uid', String(SANDBOX_UID), '--gid', String(SANDBOX_UID)],
  ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try', '--unshare-net', '--new-session', '--clearenv'],
];

export interface BubblewrapRequest {
  folder: SandboxFolder;
  gatewayFolder: string;
  node: string;
  server: string;
  packages: readonly HostPart[];
  /** The folder that becomes /etc. */
  etc: string;
  /** Further folders of the host, each mounted at its own path. */
  mounts: readonly string[];
  limits: SandboxLimits;
  groups: readonly Group[];
  env: Record<string, string>;
  command: readonly string[];
  hasEgress: boolean;
}

/**
 * Builds the arguments of bubblewrap. They hold no secret: a sandbox sees the arguments of its first process. Descriptor 3
 * receives bubblewrap’s status record.
 */
export async function bubblewrapArguments({
  folder,
  gatewayFolder,
  node,
  server,
  packages,
  etc,
  mounts: extra,
  limits,
  groups,
  env,
  command,
  hasEgress,
}: BubblewrapRequest): Promise<string[]> {
  const at = insidePaths;
  const mounts = [
    ...['--ro-bind', '/usr', '/usr', ...(await systemFolders())],
    ...['--ro-bind', etc, '/etc', '--ro-bind', join(folder.tools, 'machine-id'), '/etc/machine-id'],
    ...[...HARDWARE_INFO_FOLDERS.flatMap((path) => ['--ro-bind-try', path, path]), ...groupMounts(groups)],
    ...['--ro-bind', folder.tools, at.tools, '--ro-bind', node, at.node, '--ro-bind', server, at.server],
    ...packages.flatMap(({ name, path }) => ['--ro-bind', path, join(at.nodeModules, name)]),
    ...(hasEgress ? ['--ro-bind', folder.egress, at.egressFolder] : []),
    ...['--ro-bind', gatewayFolder, at.gatewayFolder, '--proc', '/proc', '--dev', '/dev'],
    ...['--perms', '1777', '--size', String(Math.floor(limits.memoryMiB * SHM_SHARE) * MIB), '--tmpfs', '/dev/shm'],
    ...['--bind', folder.tmp, '/tmp', '--bind', folder.varTmp, '/var/tmp', '--symlink', '/run', '/var/run'],
    ...['--bind', folder.run, at.run, '--bind', folder.home, at.home, '--bind', folder.workspace, at.workspace, '--chdir', at.workspace],
    ...extra.flatMap((path) => ['--ro-bind', path, path]),
  ];
  const variables = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);
  return [
    ...[...namespaces, '--hostname', 'sandbox', '--json-status-fd', '3', ...mounts, ...variables],
    ...[
      '--cap-drop',
      'ALL',
      '--remount-ro',
      '/dev',
      '--remount-ro',
      '/',
      '--disable-userns',
      '--',
      ...(await prlimitCommand(limits, groups)),
      ...command,
    ],
  ];
}

export async function isolationUnavailable(tried: readonly string[]): Promise<ValetkeyError> {
  const reason = decideNamespaceProblem(await readNamespaceSettings());
  return new ValetkeyError(
    'isolation_unavailable',
    tried.length === 0
      ? 'bubblewrap is not installed: bwrap is neither on PATH nor in Codex’s package. Install the package bubblewrap.'
      : `bubblewrap does not work on this host (tried ${tried.join(', ')}): ${reason}.`,
  );
}

async function readNamespaceSettings(): Promise<NamespaceSettings> {
  const { apparmorRestricts, unprivilegedClone, maxNamespaces } = NAMESPACE_SETTINGS;
  return {
    apparmorRestricts: await readSetting(apparmorRestricts),
    unprivilegedClone: await readSetting(unprivilegedClone),
    maxNamespaces: await readSetting(maxNamespaces),
  };
}

async function readSetting(path: string): Promise<string | null> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}

/** Mounts /bin, /lib and so on: links into /usr, or folders of their own on some systems. */
async function systemFolders(): Promise<string[]> {
  const args = await Promise.all(
    ['/bin', '/sbin', '/lib', '/lib32', '/lib64'].map(async (path) => {
      const stats = await lstat(path).catch(() => undefined);
      if (stats === undefined) return [];
      return stats.isSymbolicLink() ? ['--symlink', await readlink(path), path] : ['--ro-bind', path, path];
    }),
  );
  return args.flat();
}
