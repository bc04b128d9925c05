import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import type { Stack } from '../../src/dev/stack.ts';
import { jobFolder } from '../../src/sandboxes/host/folder.ts';

/** Where a host has its sandboxes. */
interface HostState {
  config: Pick<Stack['config'], 'stateDir'>;
}

/** What is there of a job's sandboxes: their folders, also those that are being removed, and the programs of their processes. */
export async function sandboxRemains({ config: { stateDir } }: HostState, jobId: string): Promise<string[]> {
  const own = jobFolder(stateDir, jobId);
  const folders = await readdir(join(stateDir, 'jobs')).catch(() => []);
  const processes = await processesThatName(own);
  return [...folders.filter((name) => name.startsWith(basename(own))), ...processes.map(({ command }) => command)];
}

/** Ends every process of the stack's sandboxes, or of those of one job, as a host without memory would. Resolves to how many there were. */
export async function killSandboxes({ config: { stateDir } }: HostState, jobId?: string): Promise<number> {
  const processes = await processesThatName(jobId === undefined ? join(stateDir, 'jobs') : jobFolder(stateDir, jobId));
  for (const { pid } of processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended with the one before.
    }
  }
  return processes.length;
}

async function processesThatName(folder: string): Promise<{ pid: number; command: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const lines = await Promise.all(pids.map(async (pid) => ({ pid, line: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') })));
  return lines
    .filter(({ line }) => line.includes(folder))
    .map(({ pid, line }) => ({ pid, command: line.split('\0').slice(0, 2).join(' ') }));
}
