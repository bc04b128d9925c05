import { randomBytes } from 'node:crypto';
import { chmod, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { Agent, AgentInstallation } from '../../agents/agent.ts';
import { secretVariable } from '../../contract/sandbox-spec.ts';
import { programFile, type Program } from '../../in-sandbox/programs.ts';
import { createBelow } from '../../system/create-below.ts';
import { shellQuote } from '../../system/shell-quote.ts';
import { toolEnvironment, type Certificates } from '../egress/tool-environment.ts';
import { SERVER_AGENT, type SandboxPaths, type SandboxRequest } from '../sandbox.ts';
import { writePrograms } from './write-programs.ts';

/** Paths and ports as the processes in a sandbox see them. */
export interface SandboxView {
  home: string;
  workspace: string;
  run: string;
  tools: string;
  node: string;
  server: string;
  nodeModules: string;
  gatewaySocket: string;
  gatewayPort: number;
  /** The egress proxy; null where the gateway is all that is reached. */
  egress: EgressView | null;
}

export interface EgressView {
  socket: string;
  port: number;
  certificates: Certificates | null;
}

/** The user of every process inside a sandbox, and on the host as well where the worker is root. */
export const SANDBOX_UID = 10_001;

/** The user of the processes on the host; empty: the worker’s own. */
export interface UserIdentity {
  uid?: number;
  gid?: number;
}

/** A file or a folder of the host that sandboxes use. */
export interface HostPart {
  /** The relative path of its copy. */
  name: string;
  path: string;
}

const DAY_MS = 86_400_000;

export function sandboxPaths({ home, workspace, gatewayPort }: Pick<SandboxView, 'home' | 'workspace' | 'gatewayPort'>): SandboxPaths {
  return { home, workspace, gatewayUrl: `http://127.0.0.1:${gatewayPort}` };
}

/** Returns the command of a sandbox’s first program, which ends by itself at `expiresAt`. */
export function initCommand({ node, tools, gatewayPort, gatewaySocket, run, server, egress }: SandboxView, expiresAt?: Date): string[] {
  const command = [node, insideFile(tools, 'init'), String(gatewayPort), gatewaySocket, run, server];
  if (egress !== null) command.push(String(egress.port), egress.socket);
  if (expiresAt === undefined) return command;
  const seconds = Math.max(1, Math.ceil((expiresAt.getTime() - Date.now()) / 1000));
  return ['timeout', '-s', 'KILL', String(seconds), ...command];
}

/** The folder, in the sandbox’s home, of the job’s secrets for tools. */
const secretsFolder = (home: string): string => join(home, '.secrets');

/**
 * Returns the whole environment of a sandbox; it holds nothing of the worker’s. The job’s variables come first, so that ours win.
 * `toolFolders` come before the system’s in its PATH.
 */
export function sandboxEnvironment(
  view: SandboxView,
  agent: Agent,
  { env = {}, secretNames = [] }: Pick<SandboxRequest, 'env' | 'secretNames'>,
  toolFolders: readonly string[],
): Record<string, string> {
  return {
    ...env,
    ...Object.fromEntries(secretNames.map((name) => [secretVariable(name), join(secretsFolder(view.home), name)])),
    PATH: [dirname(view.node), ...toolFolders, '/usr/local/bin', '/usr/bin', '/bin'].join(':'),
    HOME: view.home,
    USER: 'agent',
    LOGNAME: 'agent',
    SHELL: '/bin/bash',
    LANG: 'C.UTF-8',
    TMPDIR: '/tmp',
    XDG_DATA_HOME: join(view.tools, 'data'),
    SANDBOX_AGENT_REQUIRE_PREINSTALL: '1',
    SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS: String(DAY_MS),
    ...agent.launch(installationOf(view, agent)).env,
    ...(view.egress === null ? {} : toolEnvironment(view.egress.port, view.egress.certificates)),
  };
}

/**
 * Writes our programs and files of a sandbox into `folder`. The server finds an agent by a launcher in its data folder. `packages`
 * are linked where no mount can put them in place.
 */
export async function writeTools(folder: string, view: SandboxView, agent: Agent, packages: readonly HostPart[]): Promise<void> {
  const launcherFolder = 'data/sandbox-agent/bin/agent_processes';
  const launchers = join(folder, launcherFolder);
  await createBelow(folder, launcherFolder);
  const { command, args } = agent.launch(installationOf(view, agent));
  const words = [view.node, insideFile(view.tools, 'shim'), '--', command, ...args].map(shellQuote).join(' ');
  await Promise.all([
    writePrograms(folder, ['init', 'shim', 'mcp-http', ...(agent.program === null ? [] : [agent.program])]),
    writeFile(join(folder, 'package.json'), '{"type":"module"}\n'),
    writeFile(join(folder, 'machine-id'), `${randomBytes(16).toString('hex')}\n`),
    // Only the server may use this data folder: the agent’s programs need one that they can write to.
    writeScript(join(launchers, `${SERVER_AGENT}-acp`), `unset XDG_DATA_HOME\nexec ${words}`),
    ...packages.map(async ({ name, path }) => {
      await createBelow(folder, dirname(join('node_modules', name)));
      await symlink(path, join(folder, 'node_modules', name));
    }),
  ]);
}

function installationOf({ nodeModules, node, tools }: SandboxView, { program }: Agent): AgentInstallation {
  return { nodeModules, node, program: program === null ? '' : insideFile(tools, program) };
}

/** The path, as the sandbox sees it, of the file that runs a program. */
const insideFile = (tools: string, program: Program): string => programFile(program, tools, '.js');

async function writeScript(file: string, body: string): Promise<void> {
  await writeFile(file, `#!/bin/sh\n${body}\n`);
  await chmod(file, 0o755);
}
