import { lstat } from 'node:fs/promises';

import type { SandboxLimits } from '../../contract/limits-spec.ts';
import type { Group } from './cgroup.ts';

const PRLIMIT = '/usr/bin/prlimit';
const MIB = 1024 * 1024;
/**
 * Without control groups: of one process, and of what it maps to write, used or not. Runtimes and threads map many times what
 * they use, so this bounds a process that runs away and no more.
 */
const MAPPED_SHARE = 8;

/**
 * The words before a command that set the limits of a process and of all that it starts, which cannot raise them. Set inside, where
 * processes are counted by sandbox; outside, all of the same user would be. What the control groups hold is left to them: they
 * count what is used, and say when a limit was reached.
 */
export async function prlimitCommand({ memoryMiB, processes, diskMiB }: SandboxLimits, groups: readonly Group[]): Promise<string[]> {
  const isThere = (await lstat(PRLIMIT).catch(() => undefined)) !== undefined;
  if (!isThere) return [];
  const isHeld = (controller: 'memory' | 'pids'): boolean => groups.some(({ controllers }) => controllers.includes(controller));
  return [
    ...[PRLIMIT, `--fsize=${diskMiB * MIB}`, '--core=0'],
    ...(isHeld('pids') ? [] : [`--nproc=${processes}`]),
    ...(isHeld('memory') ? [] : [`--data=${memoryMiB * MAPPED_SHARE * MIB}`]),
  ];
}
