import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { exists } from '../../system/exists.ts';
import { writeCertificates } from '../egress/certificates.ts';
import { createFolders, fillFolders } from '../host/fill-folder.ts';
import type { SandboxFolder } from '../host/folder.ts';
import type { LaunchedSandbox } from '../host/health.ts';
import { writeLimitsRecord } from '../host/limits-record.ts';
import { insidePaths, insideView } from '../launch/inside.ts';
import { initCommand, sandboxEnvironment, type SandboxView } from '../launch/tools.ts';
import type { SandboxRequest } from '../sandbox.ts';
import { createGroups, groupsOf, joinCommand, removeGroups } from './cgroup.ts';
import type { SandboxParts } from './locate.ts';
import { sandboxMounts } from './mounts.ts';

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
): Promise<LaunchedSandbox> {
  const { isolator, identity, packages, toolFolders } = located;
  const hasEgress = request.egress !== undefined;
  await createFolders(folder);
  const certificates = hasEgress && caFile !== undefined ? await writeCertificates(caFile, folder.tools, insidePaths.tools) : null;
  const view = isolator.sharesHost ? hostView(folder, located, gatewayFolder) : insideView(folder.gatewayPort, certificates, hasEgress);
  await fillFolders(folder, view, agent, { links: isolator.sharesHost ? packages : [], identity });

  const groups = groupsOf(isolator.selectGroups(located.groupParents), folder.id);
  await writeLimitsRecord(folder.limits, { limits, groups });
  await createGroups(groups, limits);
  if (!(await exists(folder.path))) {
    // The process that stopped the sandbox may have looked for the groups before they existed.
    await removeGroups(groups);
    throw new ValetkeyError('sandbox_start_failed', 'The sandbox was stopped while it started.');
  }
  const { command, user, cwd, env } = await isolator.wrap({
    ...{ folder, limits, groups },
    mounts: await sandboxMounts({ ...located, folder, gatewayFolder, groups, hasEgress }),
    env: sandboxEnvironment(view, agent, request, toolFolders),
    command: initCommand(view, request.expiresAt),
  });
  // Only root may move a process into a group; the process becomes the sandboxes’ user afterwards.
  const spawnUser = groups.length === 0 ? user : {};
  return await spawnDetached(folder, [...joinCommand(groups, user), ...command], { ...spawnUser, cwd, env });
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
): Promise<LaunchedSandbox> {
  await using logFile = await open(log, 'a', 0o600);
  await using recordFile = await open(record, 'w', 0o600);
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', logFile.fd, logFile.fd, recordFile.fd] });
  child.unref();
  let ended: string | undefined;
  child.once('error', () => (ended = 'cannot be started'));
  child.once('exit', () => (ended = 'ended at its start'));
  return { ended: () => ended, logTail: () => readFile(log, 'utf8').catch(() => ''), release() {} };
}

/** Without isolation a sandbox sees the host’s own paths. */
function hostView(folder: SandboxFolder, { node, server }: SandboxParts, gatewayFolder: string): SandboxView {
  const { home, workspace, run, tools, gatewayPort } = folder;
  const gatewaySocket = join(gatewayFolder, 'gateway.sock');
  return { home, workspace, run, tools, node, server, nodeModules: join(tools, 'node_modules'), gatewaySocket, gatewayPort, egress: null };
}
