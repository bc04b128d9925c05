import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, lchown, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { Agent } from '../../agents/agent.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { createBelow } from '../../system/create-below.ts';
import { exists } from '../../system/exists.ts';
import { writeCertificates } from '../egress/certificates.ts';
import { toolFiles } from '../egress/tool-environment.ts';
import { insidePaths, insideView } from '../launch/inside.ts';
import { sandboxEnvironment, initCommand, writeTools, type SandboxView } from '../launch/tools.ts';
import type { SandboxConnection, SandboxRequest } from '../sandbox.ts';
import { bubblewrapArguments } from './bubblewrap.ts';
import { createGroups, groupsOf, joinCommand, removeGroups } from './cgroup.ts';
import type { SandboxFolder } from './folder.ts';
import { writeLimitsRecord } from './limits-record.ts';
import type { SandboxParts } from './locate.ts';

/** On a busy host a sandbox starts in a second or two. */
export const START_TIMEOUT_MS = 30_000;
const HEALTH_TIMEOUT_MS = 5_000;
const HEALTH_POLL_INTERVAL_MS = 10;

export interface LaunchRequest {
  located: SandboxParts;
  agent: Agent;
  gatewayFolder: string;
  /** Path of the operator’s PEM file. */
  caFile: string | undefined;
  request: SandboxRequest;
  /** The limits that apply, defaults included. */
  limits: SandboxLimits;
}

/** Starts a sandbox in a claimed folder. The sandbox outlives this process. */
export async function launchSandbox(
  folder: SandboxFolder,
  { located, agent, gatewayFolder, caFile, request, limits }: LaunchRequest,
): Promise<ChildProcess> {
  const { bubblewrap, identity, packages, toolFolders } = located;
  const hasEgress = request.egress !== undefined;
  for (const path of [folder.home, folder.workspace, folder.run, folder.tools, folder.tmp, folder.varTmp])
    await mkdir(path, { mode: 0o700 });
  for (const path of [folder.tmp, folder.varTmp]) await chmod(path, 0o1777);
  const certificates = hasEgress && caFile !== undefined ? await writeCertificates(caFile, folder.tools, insidePaths.tools) : null;
  const view =
    bubblewrap === undefined ? hostView(folder, located, gatewayFolder) : insideView(folder.gatewayPort, certificates, hasEgress);
  await writeTools(folder.tools, view, agent, bubblewrap === undefined ? packages : []);
  if (view.egress !== null) await writeHome(folder.home, toolFiles(view.egress.port));
  if (identity.uid !== undefined) await changeOwner(identity.uid, dirname(folder.path));

  const groups = groupsOf(located.groupParents, folder.id);
  await writeLimitsRecord(folder.limits, { limits, groups });
  await createGroups(groups, limits);
  if (!(await exists(folder.path))) {
    // The process that stopped the sandbox may have looked for the groups before they existed.
    await removeGroups(groups);
    throw new ValetkeyError('sandbox_start_failed', 'The sandbox was stopped while it started.');
  }
  // Only root may move a process into a group; the process becomes the sandboxes’ user afterwards.
  const user = groups.length === 0 ? identity : {};
  const joining = joinCommand(groups, identity);
  const env = sandboxEnvironment(view, agent, request, toolFolders);
  const command = initCommand(view);
  if (bubblewrap === undefined) return await spawnDetached(folder, [...joining, ...command], { ...user, cwd: folder.workspace, env });
  const args = await bubblewrapArguments({ folder, gatewayFolder, ...located, limits, groups, env, command, hasEgress });
  return await spawnDetached(folder, [...joining, bubblewrap, ...args], { ...user, cwd: '/', env: {} });
}

/** Waits until the server answers. Throws `sandbox_start_failed` where the process ends first, or after `START_TIMEOUT_MS`. */
export async function waitUntilHealthy(
  child: ChildProcess,
  connection: SandboxConnection,
  folder: SandboxFolder,
  signal?: AbortSignal,
): Promise<void> {
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  let ended: string | undefined;
  child.once('error', () => (ended = 'cannot be started'));
  child.once('exit', () => (ended = 'ended at its start'));
  while (!(await isHealthy(connection))) {
    signal?.throwIfAborted();
    if (ended === undefined && Date.now() > deadlineMs) ended = `did not answer within ${START_TIMEOUT_MS / 1000} s`;
    if (ended !== undefined) throw new ValetkeyError('sandbox_start_failed', `The sandbox ${ended}${await lastLogLine(folder.log)}`);
    await delay(HEALTH_POLL_INTERVAL_MS);
  }
}

export async function isHealthy(connection: SandboxConnection): Promise<boolean> {
  try {
    const response = await connection.fetch('/v1/health', { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

interface SpawnOptions {
  uid?: number;
  gid?: number;
  cwd: string;
  env: Record<string, string>;
}

async function spawnDetached(
  { log, record }: SandboxFolder,
  [command = '', ...args]: string[],
  options: SpawnOptions,
): Promise<ChildProcess> {
  await using logFile = await open(log, 'a', 0o600);
  await using recordFile = await open(record, 'w', 0o600);
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', logFile.fd, logFile.fd, recordFile.fd] });
  child.unref();
  return child;
}

/** Without isolation a sandbox sees the host’s own paths. */
function hostView(folder: SandboxFolder, { node, server }: SandboxParts, gatewayFolder: string): SandboxView {
  const { home, workspace, run, tools, gatewayPort } = folder;
  const gatewaySocket = join(gatewayFolder, 'gateway.sock');
  return { home, workspace, run, tools, node, server, nodeModules: join(tools, 'node_modules'), gatewaySocket, gatewayPort, egress: null };
}

async function writeHome(home: string, files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await createBelow(home, dirname(name));
    await writeFile(join(home, name), content);
  }
}

async function changeOwner(uid: number, folder: string): Promise<void> {
  await lchown(folder, uid, uid);
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }))
    await lchown(join(entry.parentPath, entry.name), uid, uid);
}

/** Returns the end of an error message with the last line of the log. A sandbox holds no secret yet when its start fails. */
async function lastLogLine(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  const line = text.trim().split('\n').at(-1) ?? '';
  return line === '' ? '.' : `: ${line.slice(0, 300).replace(/\.$/, '')}.`;
}
