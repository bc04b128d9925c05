import { lstat, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { codex, codexPlatformPackage, codexVendorFolder } from '../../agents/codex.ts';
import { findAgentPackage } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { findExecutable, findPackage } from '../../system/packages.ts';
import { SOCKET_NAME } from '../egress/keep.ts';
import type { Certificates } from '../egress/tool-environment.ts';
import { groupMounts, type Group } from './cgroup.ts';
import { decideNamespaceProblem, NAMESPACE_SETTINGS, type NamespaceSettings } from './decide-namespace-problem.ts';
import type { SandboxFolder } from './folder.ts';
import { prlimitCommand } from './prlimit.ts';
import type { Part } from './readable.ts';
import { SANDBOX_UID, type Identity, type View } from './tools.ts';

const MIB = 1024 * 1024;
/** Of the memory limit, which counts it where there are control groups. */
const SHARED_MEMORY_SHARE = 0.25;
/** What runtimes read to count CPUs and to size pages and heaps: the same for everybody on the host. */
const SYSTEM_FACTS = ['/sys/devices/system/cpu', '/sys/devices/system/node', '/sys/kernel/mm/transparent_hugepage'];

/** Loopback port of the forwarder to the gateway; the sandbox has a loopback of its own. */
export const INSIDE_GATEWAY_PORT = 8787;
/** Loopback port of the forwarder to the egress proxy. */
const INSIDE_EGRESS_PORT = 8788;

export const insidePaths = {
  home: '/home/agent',
  workspace: '/workspace',
  run: '/run/valetkey',
  tools: '/opt/valetkey',
  gatewayFolder: '/run/gateway',
  egressFolder: '/run/egress',
  node: '/opt/node/bin/node',
  server: '/opt/sandbox-agent/sandbox-agent',
  nodeModules: '/opt/agent/node_modules',
} as const;

/** Places of a bubblewrap: those on PATH, then the static one that comes with Codex. */
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

/** Whether this bubblewrap can do what `bubblewrapArguments` ask of it: old ones, and hosts that forbid user namespaces, cannot. */
export async function isolates(bubblewrap: string, identity: Identity): Promise<boolean> {
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
  packages: readonly Part[];
  /** The /etc that sandboxes see. */
  etc: string;
  /** More of the host, each at its own path. */
  mounts: readonly string[];
  limits: SandboxLimits;
  groups: readonly Group[];
  env: Record<string, string>;
  command: readonly string[];
  hasEgress: boolean;
}

/** Never a secret: a sandbox sees the arguments of its first process. Descriptor 3 takes the record. */
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
    ...[...SYSTEM_FACTS.flatMap((path) => ['--ro-bind-try', path, path]), ...groupMounts(groups)],
    ...['--ro-bind', folder.tools, at.tools, '--ro-bind', node, at.node, '--ro-bind', server, at.server],
    ...packages.flatMap(({ name, path }) => ['--ro-bind', path, join(at.nodeModules, name)]),
    ...(hasEgress ? ['--ro-bind', folder.egress, at.egressFolder] : []),
    ...['--ro-bind', gatewayFolder, at.gatewayFolder, '--proc', '/proc', '--dev', '/dev'],
    ...['--perms', '1777', '--size', String(Math.floor(limits.memoryMiB * SHARED_MEMORY_SHARE) * MIB), '--tmpfs', '/dev/shm'],
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

/** How a sandbox under bubblewrap sees itself. */
export function insideView(gatewayPort: number, certificates: Certificates | null, hasEgress: boolean): View {
  const egress = { socket: join(insidePaths.egressFolder, SOCKET_NAME), port: INSIDE_EGRESS_PORT, certificates };
  return {
    ...insidePaths,
    gatewaySocket: join(insidePaths.gatewayFolder, 'gateway.sock'),
    gatewayPort,
    egress: hasEgress ? egress : null,
  };
}

export async function isolationUnavailable(tried: readonly string[]): Promise<ValetkeyError> {
  const reason = decideNamespaceProblem(await readNamespaceSettings());
  return new ValetkeyError(
    'isolation_unavailable',
    tried.length === 0
      ? 'bubblewrap is not installed: there is no bwrap on PATH, nor the one that comes with Codex.'
      : `bubblewrap does not work on this host (tried ${tried.join(', ')}): ${reason}.`,
  );
}

async function readNamespaceSettings(): Promise<NamespaceSettings> {
  const read = async (path: string): Promise<string | null> =>
    readFile(path, 'utf8').then(
      (text) => text.trim(),
      () => null,
    );
  const { apparmorRestricts, unprivilegedClone, maxNamespaces } = NAMESPACE_SETTINGS;
  return {
    apparmorRestricts: await read(apparmorRestricts),
    unprivilegedClone: await read(unprivilegedClone),
    maxNamespaces: await read(maxNamespaces),
  };
}

/** `/bin`, `/lib` and the like are links into /usr, or on some systems folders of their own. */
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
