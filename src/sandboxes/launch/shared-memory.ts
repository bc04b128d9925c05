import type { SandboxLimits } from '../../contract/limits-spec.ts';

const MIB = 1024 * 1024;
/** The share of the memory limit that /dev/shm may hold, which counts as memory. */
const SHM_SHARE = 0.25;

/** Returns the size of a sandbox’s /dev/shm in bytes. */
export function sharedMemoryBytes({ memoryMiB }: Pick<SandboxLimits, 'memoryMiB'>): number {
  return Math.floor(memoryMiB * SHM_SHARE) * MIB;
}
