import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import { codex, codexPlatformPackage, codexVendorFolder } from '../../agents/codex.ts';
import { findAgentPackage } from '../../agents/installation.ts';
import { findExecutable, findPackage } from '../../agents/packages.ts';
import { ValetkeyError } from '../../job/errors.ts';
import { SOCKET_NAME } from '../egress/keep.ts';
import type { Certificates } from '../egress/tool-environment.ts';
import type { SandboxFolder } from './folder.ts';
import type { Part } from './readable.ts';
import { SANDBOX_UID, type Identity, type View } from './tools.ts';

const TMP_BYTES = 64 * 1024 * 1024;
const PRLIMIT = '/usr/bin/prlimit';
const MAX_PROCESSES = 200;
/** Of one process. OpenCode's runtime maps much more than it uses, which counts: long turns of it failed at 1.5 GiB. */
const MAX_DATA_BYTES = 3 * 1024 * 1024 * 1024;

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
  env,
  command,
  hasEgress,
}: BubblewrapRequest): Promise<string[]> {
  const at = insidePaths;
  const mounts = [
    ...['--ro-bind', '/usr', '/usr', ...(await systemFolders())],
    ...['/etc/ssl', '/etc/alternatives', '/etc/ld.so.cache'].flatMap((path) => ['--ro-bind-try', path, path]),
    ...['passwd', 'group', 'hosts'].flatMap((name) => ['--ro-bind', join(folder.tools, name), `/etc/${name}`]),
    ...['--ro-bind', folder.tools, at.tools, '--ro-bind', node, at.node, '--ro-bind', server, at.server],
    ...packages.flatMap(({ name, path }) => ['--ro-bind', path, join(at.nodeModules, name)]),
    ...(hasEgress ? ['--ro-bind', folder.egress, at.egressFolder] : []),
    ...['--ro-bind', gatewayFolder, at.gatewayFolder, '--proc', '/proc', '--dev', '/dev', '--size', String(TMP_BYTES), '--tmpfs', '/tmp'],
    ...['--bind', folder.run, at.run, '--bind', folder.home, at.home, '--bind', folder.workspace, at.workspace, '--chdir', at.workspace],
  ];
  const variables = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);
  return [
    ...[...namespaces, '--hostname', 'sandbox', '--json-status-fd', '3', ...mounts, ...variables],
    ...['--cap-drop', 'ALL', '--remount-ro', '/dev', '--remount-ro', '/', '--disable-userns', '--', ...(await limits()), ...command],
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

export function isolationUnavailable(tried: readonly string[]): ValetkeyError {
  return new ValetkeyError(
    'isolation_unavailable',
    tried.length === 0
      ? 'bubblewrap is not installed: there is no bwrap on PATH, nor the one that comes with Codex.'
      : `bubblewrap does not work here (tried ${tried.join(', ')}): it is older than 0.8, or the host forbids user namespaces.`,
  );
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

/** Set inside, where they are the job's own and cannot be raised. */
async function limits(): Promise<string[]> {
  const isThere = (await lstat(PRLIMIT).catch(() => undefined)) !== undefined;
  return isThere ? [PRLIMIT, `--nproc=${MAX_PROCESSES}`, `--data=${MAX_DATA_BYTES}`] : [];
}
