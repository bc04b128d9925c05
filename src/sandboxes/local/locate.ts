import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import type { Agents } from '../../agents/index.ts';
import { findAgentPackages } from '../../agents/installation.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { Isolation } from '../../contract/spec.ts';
import { findPackage } from '../../system/packages.ts';
import type { EgressOptions } from '../egress/egress.ts';
import { PLAIN_MACHINE, type MachineSettings } from '../machine-settings.ts';
import { bubblewrapCandidates, insidePaths, isolates, isolationUnavailable } from './bubblewrap.ts';
import { findGroupParents, type GroupParent } from './cgroup.ts';
import { makeEtc } from './etc.ts';
import { makeReadable, openFolder, requireReadable, type Part } from './readable.ts';
import { SANDBOX_UID, type Identity } from './tools.ts';

export interface LocalProviderOptions {
  /** Namespace and deployment of the workers: what tells their sandboxes from those of others on this host. */
  owner: string;
  /** Everything of the sandboxes lies here. */
  stateDir: string;
  /** Folder of the gateway's socket, `gateway.sock`. */
  socketDir: string;
  agents: Agents;
  /** Folder whose `node_modules` holds the agents' adapters. */
  agentsDir: string | undefined;
  /** The task queue on which this host's sandboxes are driven. */
  hostTaskQueue: string;
  /** PATH, to look for bubblewrap and adapters. */
  path: string;
  /** What of the network jobs may have; left out: none has any. */
  egress?: EgressOptions;
  /** Default: nothing of all that. */
  machine?: MachineSettings;
}

/** Where installers put toolchains that bring a folder of their own. */
const TOOL_FOLDERS = ['/usr/local/go/bin', '/usr/local/cargo/bin', '/usr/lib/go/bin'];

/** What a sandbox is made of, each at a place that its user can read. */
export interface Located {
  /** Undefined: no isolation. */
  bubblewrap: string | undefined;
  node: string;
  server: string;
  packages: Part[];
  identity: Identity;
  /** Where its control groups are made. */
  groupParents: readonly GroupParent[];
  etc: string;
  mounts: readonly string[];
  /** What comes into its PATH. */
  toolFolders: readonly string[];
}

/** Throws `isolation_unavailable`, `agent_not_installed`, or `sandbox_start_failed` where a folder keeps the sandbox's user out. */
export async function locate(options: LocalProviderOptions, agent: Agent, isolation: Isolation): Promise<Located> {
  const { stateDir, socketDir, agentsDir, path, machine = PLAIN_MACHINE } = options;
  if (process.platform !== 'linux') throw new ValetkeyError('isolation_unavailable', 'The local provider needs Linux.');
  const isRoot = process.getuid?.() === 0;
  const identity = isRoot ? { uid: SANDBOX_UID, gid: SANDBOX_UID } : {};
  await prepareFolders(stateDir, socketDir, isRoot);

  const readable = async (parts: Part[]): Promise<readonly Part[]> =>
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
    bubblewrap: isolation === 'none' ? undefined : await workingBubblewrap(path, agentsDir, readable, identity),
    node: pathOf(programs, 'node'),
    server: pathOf(programs, 'sandbox-agent'),
    packages: (await readable(packages)).map(({ name, path: folder }) => ({ name: name.slice('node_modules/'.length), path: folder })),
    identity,
    groupParents: await groupParents(identity),
    etc: await currentEtc(stateDir),
    mounts: await usableMounts(machine.mounts, isRoot),
    toolFolders: [...machine.path, ...(await existing(TOOL_FOLDERS))],
  };
}

/** Looked at anew once a minute: the host's certificates are renewed. */
const ETC_CHECK_MS = 60_000;
const etcs = new Map<string, { checkedAtMs: number; etc: Promise<string> }>();

async function currentEtc(stateDir: string): Promise<string> {
  const known = etcs.get(stateDir);
  if (known !== undefined && performance.now() - known.checkedAtMs < ETC_CHECK_MS && (await isThere(await known.etc)))
    return await known.etc;
  const etc = makeEtc(join(stateDir, 'etc'), insidePaths.home);
  etcs.set(stateDir, { checkedAtMs: performance.now(), etc });
  etc.catch(() => etcs.delete(stateDir));
  return await etc;
}

let parents: Promise<GroupParent[]> | undefined;

/** Asked once: it starts a process. */
async function groupParents(identity: Identity): Promise<GroupParent[]> {
  parents ??= findGroupParents(identity);
  return await parents;
}

async function usableMounts(mounts: readonly string[], isRoot: boolean): Promise<readonly string[]> {
  for (const path of mounts) {
    if (!(await isThere(path))) throw new ValetkeyError('sandbox_start_failed', `VALETKEY_SANDBOX_MOUNTS: ${path} is not there.`);
    if (isRoot) await requireReadable(path, 'VALETKEY_SANDBOX_MOUNTS');
  }
  return mounts;
}

async function existing(folders: readonly string[]): Promise<string[]> {
  const there = await Promise.all(folders.map(isThere));
  return folders.filter((_, index) => there[index]);
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

async function workingBubblewrap(
  path: string,
  agentsDir: string | undefined,
  readable: (parts: Part[]) => Promise<readonly Part[]>,
  identity: Identity,
): Promise<string> {
  const candidates = await bubblewrapCandidates(path, agentsDir);
  for (const candidate of candidates) {
    const bubblewrap = pathOf(await readable([{ name: 'bwrap', path: candidate }]), 'bwrap');
    if (await isolates(bubblewrap, identity)) return bubblewrap;
  }
  throw await isolationUnavailable(candidates);
}

async function serverBinary(): Promise<string> {
  const name = `@sandbox-agent/cli-${process.platform}-${process.arch}`;
  const cli = await findPackage('@sandbox-agent/cli');
  const platform = await findPackage(name, cli?.folder);
  if (platform === undefined)
    throw new ValetkeyError('sandbox_start_failed', `${name} is not installed: run npm install with optional packages.`);
  return join(platform.folder, 'bin/sandbox-agent');
}

/** Jobs' folders lie in one that others can pass, not list. */
async function prepareFolders(stateDir: string, socketDir: string, isRoot: boolean): Promise<void> {
  await openFolder(stateDir);
  await openFolder(socketDir);
  await mkdir(join(stateDir, 'jobs'), { recursive: true });
  const { uid } = await stat(stateDir);
  if (uid !== 0 && uid !== process.getuid?.())
    throw new ValetkeyError('sandbox_start_failed', `${stateDir} belongs to another user: set VALETKEY_STATE_DIR.`);
  if (!isRoot) return;
  await requireReadable(stateDir, 'VALETKEY_STATE_DIR');
  await requireReadable(socketDir, 'VALETKEY_STATE_DIR');
}

function pathOf(parts: readonly Part[], name: string): string {
  const part = parts.find((candidate) => candidate.name === name);
  if (part === undefined) throw new ValetkeyError('internal', `${name} was not located`);
  return part.path;
}
