import { execFile } from 'node:child_process';
import { stat, statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { SandboxLimits } from '../../contract/limits-spec.ts';
import type { LimitSighting } from '../sandbox.ts';
import { limitHits } from './cgroup.ts';
import type { SandboxFolder } from './folder.ts';
import { readLimitsRecord } from './limits-record.ts';

const MIB = 1024 * 1024;
const LOOK_MS = 1_000;
/** The file system may have lost and won as much, and others may use it too. */
const MEASURE_AT_LEAST_EVERY_MS = 60_000;
/** A measure takes as long as there are files: most of the time nobody measures. */
const REST_PER_MEASURE = 10;
const MEASURE_TIMEOUT_MS = 120_000;
/** Measured anew once the file system lost this part of what is left to the sandbox. */
const GROWTH_SHARE = 0.1;
const FIRST_TENTH = 8;

/**
 * Looks at a sandbox's limits once a second until the signal aborts, and once more then. Cheap while nothing happens: its folders are measured only
 * when the file system that they lie on has lost room. Throws nothing.
 */
export async function watchLimits(
  folder: SandboxFolder,
  onSighting: (sighting: LimitSighting, limits: SandboxLimits) => void,
  signal: AbortSignal,
): Promise<void> {
  const record = await readLimitsRecord(folder.limits);
  if (record === undefined) return;
  const { limits, groups } = record;
  const reported = { memory: 0, processes: 0 };
  const disk = watchDisk(folder, limits.diskMiB, signal);
  const lookAtHits = async (): Promise<void> => {
    const hits = await limitHits(groups);
    for (const limit of ['memory', 'processes'] as const) {
      if (hits[limit] > reported[limit]) onSighting({ limit, times: hits[limit] }, limits);
      reported[limit] = Math.max(reported[limit], hits[limit]);
    }
  };
  while (!signal.aborted && (await isThere(folder.path))) {
    await lookAtHits();
    const used = await disk();
    if (used !== undefined) onSighting(used, limits);
    await delay(LOOK_MS, undefined, { signal, ref: false }).catch(() => {});
  }
  await lookAtHits();
}

/** Each call resolves to a sighting where a higher tenth of the limit is reached than before. */
function watchDisk(folder: SandboxFolder, diskMiB: number, signal: AbortSignal): () => Promise<LimitSighting | undefined> {
  const limit = diskMiB * MIB;
  let used = 0;
  let freeThen = Infinity;
  let measuredAtMs = -Infinity;
  let restMs = 0;
  let tenth = FIRST_TENTH - 1;
  return async () => {
    const free = await freeBytes(folder.path);
    const sinceMs = performance.now() - measuredAtMs;
    const grown = freeThen - free;
    // Where the file system may have lost more than what is left, there is no time to rest.
    const isUrgent = grown >= limit - used;
    const isDue = sinceMs >= MEASURE_AT_LEAST_EVERY_MS || grown >= (limit - used) * GROWTH_SHARE;
    if (!isDue || (!isUrgent && sinceMs < restMs) || sinceMs < Math.min(restMs, LOOK_MS)) return undefined;
    const startedMs = performance.now();
    used = (await usedBytes(folder, signal)) ?? used;
    freeThen = free;
    measuredAtMs = performance.now();
    restMs = (measuredAtMs - startedMs) * REST_PER_MEASURE;
    const reached = Math.min(10, Math.floor((used / limit) * 10));
    if (reached <= tenth) return undefined;
    tenth = reached;
    return { limit: 'disk', usedMiB: Math.round(used / MIB), shareUsed: used / limit };
  };
}

async function freeBytes(path: string): Promise<number> {
  return await statfs(path).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Infinity,
  );
}

/** Blocks on disk, what has several names counted once. Undefined where it is unknown. */
async function usedBytes({ home, workspace, tmp, varTmp }: SandboxFolder, signal: AbortSignal): Promise<number | undefined> {
  const args = ['-s', '-c', '-x', '--block-size=1', '--', home, workspace, tmp, varTmp];
  // A file that vanishes meanwhile makes it fail, and what it counted is right all the same.
  const output = await promisify(execFile)('du', args, { signal, timeout: MEASURE_TIMEOUT_MS, env: { PATH: '/usr/bin:/bin' } }).then(
    ({ stdout }) => stdout,
    (error: unknown) => (typeof error === 'object' && error !== null && 'stdout' in error ? String(error.stdout) : ''),
  );
  const total = /^(\d+)\s+\S+\s*$/.exec(output.trimEnd().split('\n').at(-1) ?? '')?.[1];
  return total === undefined ? undefined : Number(total);
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
