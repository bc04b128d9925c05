import { lstat } from 'node:fs/promises';

import type { SandboxLimits } from '../../contract/limits-spec.ts';
import type { Group } from './cgroup.ts';

const PRLIMIT = '/usr/bin/prlimit';
const MIB = 1024 * 1024;
/**
 * Without control groups, the memory limit of one process applies to all that it maps writable, used or not. Runtimes and threads
 * map many times what they use, so this factor bounds a runaway process and no more.
 */
const MAPPED_MEMORY_FACTOR = 8;

/**
 * Returns the arguments to put before a command, which set limits for it and for everything that it starts; they cannot be raised.
 * They are set inside the sandbox, where processes are counted per sandbox; outside, all processes of the same user would be
 * counted. Limits that a control group enforces are left to it: it counts what is used, and reports when a limit was reached.
 */
export async function prlimitCommand({ memoryMiB, processes, diskMiB }: SandboxLimits, groups: readonly Group[]): Promise<string[]> {
  const isThere = (await lstat(PRLIMIT).catch(() => undefined)) !== undefined;
  if (!isThere) return [];
  const isEnforced = (controller: 'memory' | 'pids'): boolean => groups.some(({ controllers }) => controllers.includes(controller));
  return [
    ...[PRLIMIT, `--fsize=${diskMiB * MIB}`, '--core=0'],
    ...(isEnforced('pids') ? [] : [`--nproc=${processes}`]),
    ...(isEnforced('memory') ? [] : [`--data=${memoryMiB * MAPPED_MEMORY_FACTOR * MIB}`]),
  ];
}
