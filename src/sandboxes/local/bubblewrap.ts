import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { codex, codexPlatformPackage, codexVendorFolder } from '../../agents/codex.ts';
import { findAgentPackage } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { findExecutable, findPackage } from '../../system/packages.ts';
import { insidePaths } from '../launch/inside.ts';
import { sharedMemoryBytes } from '../launch/shared-memory.ts';
import { SANDBOX_UID, type UserIdentity } from '../launch/tools.ts';
import { decideNamespaceProblem, NAMESPACE_SETTINGS, type NamespaceSettings } from './decide-namespace-problem.ts';
import type { FirstProgram, Isolator } from './isolator.ts';
import type { Mount } from './mounts.ts';
import { prlimitCommand } from './prlimit.ts';

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

/** Runs sandboxes under the bubblewrap at this path, as `user` on the host. */
export function createBubblewrap(bubblewrap: string, user: UserIdentity): Isolator {
  return {
    sharesHost: false,
    selectGroups: (parents) => [...parents],
    // Bubblewrap is the first process inside, and has what its parent gave it.
    wrap: async (program) => ({ command: [bubblewrap, ...(await bubblewrapArguments(program))], user, cwd: '/', env: {} }),
  };
}

/** Builds the arguments of bubblewrap. Descriptor 3 receives its status record. */
async function bubblewrapArguments({ mounts, limits, groups, env, command }: Omit<FirstProgram, 'folder'>): Promise<string[]> {
  const fileSystem = [
    ...mounts.flatMap(mountArguments),
    ...[...HARDWARE_INFO_FOLDERS.flatMap((path) => ['--ro-bind-try', path, path]), '--proc', '/proc', '--dev', '/dev'],
    ...['--perms', '1777', '--size', String(sharedMemoryBytes(limits)), '--tmpfs', '/dev/shm'],
    ...['--chdir', insidePaths.workspace],
  ];
  const variables = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);
  return [
    ...[...namespaces, '--hostname', 'sandbox', '--json-status-fd', '3', ...fileSystem, ...variables],
    ...['--cap-drop', 'ALL', '--remount-ro', '/dev', '--remount-ro', '/', '--disable-userns', '--'],
    ...[...(await prlimitCommand(limits, groups)), ...command],
  ];
}

function mountArguments(mount: Mount): string[] {
  if ('target' in mount) return ['--symlink', mount.target, mount.at];
  return [mount.isWritable ? '--bind' : '--ro-bind', mount.source, mount.at];
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
