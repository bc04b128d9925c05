import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import type { Agents } from '../../agents/index.ts';
import { findAgentPackages } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { Isolation } from '../../contract/sandbox-provider.ts';
import { exists } from '../../system/exists.ts';
import type { HostProviderOptions } from '../host/host-provider.ts';
import { insidePaths } from '../launch/inside.ts';
import { serverBinary } from '../launch/server-binary.ts';
import { SANDBOX_UID, type HostPart, type UserIdentity } from '../launch/tools.ts';
import { DEFAULT_MACHINE_SETTINGS } from '../machine-settings.ts';
import { bubblewrapCandidates, canIsolate, createBubblewrap, isolationUnavailable } from './bubblewrap.ts';
import { findGroupParents, type GroupParent } from './cgroup.ts';
import { copyEtc } from './etc.ts';
import { locateGvisor, type RunscOptions } from './gvisor/gvisor.ts';
import type { Isolator } from './isolator.ts';
import { createNoIsolation } from './no-isolation.ts';
import { makeReadable, createOpenFolder, requireReadable } from './readable.ts';

export interface LocalProviderOptions extends HostProviderOptions, RunscOptions {
  /** The folder of the gateway’s socket, `gateway.sock`. */
  socketDir: string;
  agents: Agents;
  /** Folder whose `node_modules` holds the agents' adapters. */
  agentsDir: string | undefined;
  /** PATH, to look for bubblewrap, gVisor and adapters. */
  path: string;
}

/** Folders in which installers put toolchains outside the standard PATH. */
const KNOWN_TOOL_FOLDERS = ['/usr/local/go/bin', '/usr/local/cargo/bin', '/usr/lib/go/bin'];

/** The parts of a sandbox, each at a path that its user can read. */
export interface SandboxParts {
  isolator: Isolator;
  node: string;
  server: string;
  packages: HostPart[];
  identity: UserIdentity;
  /** The folders in which its control groups are created. */
  groupParents: readonly GroupParent[];
  etc: string;
  mounts: readonly string[];
  /** Folders for its PATH. */
  toolFolders: readonly string[];
}

/**
 * Locates the parts of a sandbox. Throws `isolation_unavailable`, `agent_not_installed`, or `sandbox_start_failed` where the
 * sandboxes’ user cannot enter a folder.
 */
export async function locateParts(options: LocalProviderOptions, agent: Agent, isolation: Isolation): Promise<SandboxParts> {
  const { stateDir, socketDir, agentsDir, path, machine = DEFAULT_MACHINE_SETTINGS } = options;
  if (process.platform !== 'linux') throw new ValetkeyError('isolation_unavailable', 'The local provider runs on Linux only.');
  const isRoot = process.getuid?.() === 0;
  const identity = isRoot ? { uid: SANDBOX_UID, gid: SANDBOX_UID } : {};
  await prepareFolders(stateDir, socketDir, isRoot);

  const readable = async (parts: HostPart[]): Promise<readonly HostPart[]> =>
    isRoot ? await makeReadable(parts, join(stateDir, 'copies')) : parts;
  const packages = (await findAgentPackages(agent, { agentsDir, path })).map(({ name, folder }) => ({
    name: `node_modules/${name}`,
    path: folder,
  }));
  const programs = await readable([
    { name: 'node', path: process.execPath },
    { name: 'sandbox-agent', path: await serverBinary() },
  ]);
  return {
    isolator: await locateIsolator(options, isolation, identity, readable),
    node: pathOf(programs, 'node'),
    server: pathOf(programs, 'sandbox-agent'),
    packages: (await readable(packages)).map(({ name, path: folder }) => ({ name: name.slice('node_modules/'.length), path: folder })),
    identity,
    groupParents: await groupParents(identity),
    etc: await currentEtc(stateDir),
    mounts: await usableMounts(machine.mounts, isRoot),
    toolFolders: [...machine.path, ...(await existing(KNOWN_TOOL_FOLDERS))],
  };
}

/** The copy is checked again once a minute: the host’s certificates are renewed. */
const ETC_CHECK_INTERVAL_MS = 60_000;
const etcCopies = new Map<string, { checkedAtMs: number; etc: Promise<string> }>();

async function currentEtc(stateDir: string): Promise<string> {
  const known = etcCopies.get(stateDir);
  if (known !== undefined && performance.now() - known.checkedAtMs < ETC_CHECK_INTERVAL_MS && (await exists(await known.etc)))
    return await known.etc;
  const etc = copyEtc(join(stateDir, 'etc'), insidePaths.home);
  etcCopies.set(stateDir, { checkedAtMs: performance.now(), etc });
  etc.catch(() => etcCopies.delete(stateDir));
  return await etc;
}

let cachedGroupParents: Promise<GroupParent[]> | undefined;

/** The result is cached: finding it starts a process. */
async function groupParents(identity: UserIdentity): Promise<GroupParent[]> {
  cachedGroupParents ??= findGroupParents(identity);
  return await cachedGroupParents;
}

async function usableMounts(mounts: readonly string[], isRoot: boolean): Promise<readonly string[]> {
  for (const path of mounts) {
    if (!(await exists(path)))
      throw new ValetkeyError('sandbox_start_failed', `The folder ${path} of VALETKEY_SANDBOX_MOUNTS does not exist.`);
    if (isRoot) await requireReadable(path, 'VALETKEY_SANDBOX_MOUNTS');
  }
  return mounts;
}

async function existing(folders: readonly string[]): Promise<string[]> {
  const there = await Promise.all(folders.map(exists));
  return folders.filter((_, index) => there[index]);
}

type MakeReadable = (parts: HostPart[]) => Promise<readonly HostPart[]>;

/** Throws `isolation_unavailable` where this host cannot do it: an isolation is never replaced by another. */
async function locateIsolator(
  options: LocalProviderOptions,
  isolation: Isolation,
  identity: UserIdentity,
  readable: MakeReadable,
): Promise<Isolator> {
  if (isolation === 'none') return createNoIsolation(identity);
  if (isolation === 'gvisor') return await locateGvisor(options);
  return createBubblewrap(await workingBubblewrap(options, readable, identity), identity);
}

async function workingBubblewrap(
  { path, agentsDir }: LocalProviderOptions,
  readable: MakeReadable,
  identity: UserIdentity,
): Promise<string> {
  const candidates = await bubblewrapCandidates(path, agentsDir);
  for (const candidate of candidates) {
    const bubblewrap = pathOf(await readable([{ name: 'bwrap', path: candidate }]), 'bwrap');
    if (await canIsolate(bubblewrap, identity)) return bubblewrap;
  }
  throw await isolationUnavailable(candidates);
}

/** Prepares the state folders. Other users can pass through the folder of the jobs’ folders, but not list it. */
async function prepareFolders(stateDir: string, socketDir: string, isRoot: boolean): Promise<void> {
  await createOpenFolder(stateDir);
  await createOpenFolder(socketDir);
  await mkdir(join(stateDir, 'jobs'), { recursive: true });
  const { uid } = await stat(stateDir);
  if (uid !== 0 && uid !== process.getuid?.())
    throw new ValetkeyError(
      'sandbox_start_failed',
      `The folder ${stateDir} belongs to another user: set VALETKEY_STATE_DIR to a folder of your own.`,
    );
  if (!isRoot) return;
  await requireReadable(stateDir, 'VALETKEY_STATE_DIR');
  await requireReadable(socketDir, 'VALETKEY_STATE_DIR');
}

function pathOf(parts: readonly HostPart[], name: string): string {
  const part = parts.find((candidate) => candidate.name === name);
  if (part === undefined) throw new ValetkeyError('internal', `The program ${name} was not located.`);
  return part.path;
}
