import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { z } from 'zod';

import { agents } from '../../src/agents/index.ts';
import type { EgressOptions } from '../../src/sandboxes/egress/egress.ts';
import { sandboxFolder } from '../../src/sandboxes/host/folder.ts';
import { createLocalProvider, type LocalProviderOptions } from '../../src/sandboxes/local/local.ts';
import { processesIn, recordedProcess } from '../../src/sandboxes/local/processes.ts';
import { DEFAULT_MACHINE_SETTINGS, type MachineSettings } from '../../src/sandboxes/machine-settings.ts';
import type { SandboxConnection, SandboxHandle, SandboxProvider } from '../../src/sandboxes/sandbox.ts';
import { testRunsc } from '../helpers/gvisor.ts';

export interface Rig {
  options: LocalProviderOptions;
  provider: SandboxProvider;
  /** What reached the gateway's socket. */
  requests: string[];
  /** The path of a sandbox's folder on the host. */
  folderOf(id: string): string;
  /** Whether a process of the sandbox runs. */
  isAlive(handle: SandboxHandle): Promise<boolean>;
  close(): Promise<void>;
}

/** A state directory of its own, and a gateway in it that answers `gateway` to everything. */
export interface HostStub {
  stateDir: string;
  socketDir: string;
  /** What reached the gateway's socket. */
  requests: string[];
  /** The provider, with its sandboxes remembered: `close` stops them. */
  remember: (provider: SandboxProvider) => SandboxProvider;
  close: () => Promise<void>;
}

/** Starts the gateway of a host without sandboxes yet. */
export async function startHostStub(): Promise<HostStub> {
  const stateDir = await mkdtemp(join(tmpdir(), 'valetkey-test-'));
  await chmod(stateDir, 0o755);
  const socketDir = join(stateDir, 'gateway');
  await mkdir(socketDir);
  const requests: string[] = [];
  const gateway = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    response.end('gateway');
  });
  await new Promise<void>((resolve) => gateway.listen(join(socketDir, 'gateway.sock'), resolve));
  await chmod(join(socketDir, 'gateway.sock'), 0o666);
  const stops: (() => Promise<void>)[] = [];
  return {
    stateDir,
    socketDir,
    requests,
    remember: (provider) => ({
      ...provider,
      async start(request, signal) {
        stops.push(() => provider.stop(request.jobId));
        return await provider.start(request, signal);
      },
    }),
    async close() {
      for (const stop of stops) await stop();
      gateway.closeAllConnections();
      await new Promise((resolve) => gateway.close(resolve));
      await rm(stateDir, { recursive: true });
    },
  };
}

/** A local provider with a state directory of its own, and a gateway that answers `gateway` to everything. */
export async function createRig(egress?: EgressOptions, machine: MachineSettings = DEFAULT_MACHINE_SETTINGS): Promise<Rig> {
  const { stateDir, socketDir, requests, remember, close } = await startHostStub();
  const options = {
    agents,
    owner: 'default/tests',
    stateDir,
    socketDir,
    agentsDir: undefined,
    hostTaskQueue: 'host-of-tests',
    path: process.env['PATH'] ?? '',
    runsc: testRunsc(),
    ...(egress === undefined ? {} : { egress }),
    machine,
  };
  return {
    options,
    provider: remember(createLocalProvider(options)),
    requests,
    folderOf: (id) => join(stateDir, 'jobs', id),
    async isAlive({ id, isolation }) {
      const folder = sandboxFolder(stateDir, id);
      if (folder === undefined) return false;
      return isolation === 'bubblewrap'
        ? (await recordedProcess(folder.record)) !== undefined
        : (await processesIn(folder.path)).members.length > 0;
    },
    close,
  };
}

const runSchema = z.object({ exitCode: z.number().nullable(), stdout: z.string(), stderr: z.string() });

/** Runs a shell script in the sandbox and resolves to what it printed. */
export async function run(connection: SandboxConnection, script: string, timeoutMs?: number): Promise<string> {
  return await runCommand(connection, 'sh', ['-c', script], timeoutMs);
}

export async function runCommand(connection: SandboxConnection, command: string, args: string[], timeoutMs = 60_000): Promise<string> {
  const response = await connection.fetch('/v1/processes/run', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ command, args, timeoutMs, maxOutputBytes: 1_000_000 }),
  });
  const { exitCode, stdout, stderr } = runSchema.parse(await response.json());
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr}`);
  return stdout;
}

const recordSchema = z.object({ 'pid-namespace': z.number(), 'child-pid': z.number() });

/** The pid namespace of a sandbox, and its first process there as the host sees it. */
export async function namespaceOf(folder: string): Promise<{ namespace: string; pid: number }> {
  const [line = ''] = (await readFile(join(folder, 'bwrap.json'), 'utf8')).split('\n');
  const record = recordSchema.parse(JSON.parse(line));
  return { namespace: `pid:[${record['pid-namespace']}]`, pid: record['child-pid'] };
}

/** The processes of a sandbox that the host sees: those in its namespace, those of gVisor, or those with the job's home in their environment. */
export async function processesOfJob({ folderOf }: Pick<Rig, 'folderOf'>, { id, isolation }: SandboxHandle): Promise<number[]> {
  const folder = folderOf(id);
  if (isolation === 'bubblewrap') return await processesOfNamespace((await namespaceOf(folder)).namespace);
  return (await processesIn(folder)).members;
}

/** The living processes of the host in a pid namespace. */
export async function processesOfNamespace(namespace: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [link, stat] = await Promise.all([
        readlink(`/proc/${pid}/ns/pid`).catch(() => ''),
        readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
      ]);
      return link === namespace && !stat.includes(') Z ');
    }),
  );
  return pids.filter((_, index) => found[index]);
}
