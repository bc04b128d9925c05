import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { exists } from '../../system/exists.ts';
import { countLimitHits } from '../local/cgroup.ts';
import type { LimitWarning } from '../sandbox.ts';
import type { SandboxFolder } from './folder.ts';
import { readLimitsRecord } from './limits-record.ts';

const MIB = 1024 * 1024;
const CHECK_INTERVAL_MS = 1_000;
/** Free space may have gone down and up by the same amount, and others use the file system, too. */
const MAX_MEASURE_INTERVAL_MS = 60_000;
/** After a measurement, which takes longer the more files there are, the next waits so many times as long. */
const PAUSE_PER_MEASURE_TIME = 10;
const MEASURE_TIMEOUT_MS = 120_000;
/** Measures again once the file system lost this share of what the sandbox may still use. */
const MEASURE_AT_GROWTH_SHARE = 0.1;
const FIRST_WARNING_TENTH = 8;

/**
 * Checks a sandbox’s limits once a second until the signal aborts, and once more then. A check is cheap while nothing happens: the
 * folders are measured only where their file system has lost space. Never throws.
 */
export async function watchLimits(
  folder: SandboxFolder,
  onWarning: (warning: LimitWarning, limits: SandboxLimits) => void,
  signal: AbortSignal,
): Promise<void> {
  const record = await readLimitsRecord(folder.limits);
  if (record === undefined) return;
  const { limits, groups } = record;
  const reported = { memory: 0, processes: 0 };
  const disk = watchDisk(folder, limits.diskMiB, signal);
  const reportHits = async (): Promise<void> => {
    const hits = await countLimitHits(groups);
    for (const limit of ['memory', 'processes'] as const) {
      if (hits[limit] > reported[limit]) onWarning({ limit, times: hits[limit] }, limits);
      reported[limit] = Math.max(reported[limit], hits[limit]);
    }
  };
  while (!signal.aborted && (await exists(folder.path))) {
    await reportHits();
    const used = await disk();
    if (used !== undefined) onWarning(used, limits);
    await delay(CHECK_INTERVAL_MS, undefined, { signal, ref: false }).catch(() => {});
  }
  await reportHits();
}

/** Returns a function that resolves to a warning where disk use reached a higher tenth of the limit than before. */
function watchDisk(folder: SandboxFolder, diskMiB: number, signal: AbortSignal): () => Promise<LimitWarning | undefined> {
  const limit = diskMiB * MIB;
  let used = 0;
  let freeThen = Infinity;
  let measuredAtMs = -Infinity;
  let pauseMs = 0;
  let tenth = FIRST_WARNING_TENTH - 1;
  return async () => {
    const free = await freeBytes(folder.path);
    const sinceMs = performance.now() - measuredAtMs;
    const grown = freeThen - free;
    // The sandbox may be over its limit already: no pause.
    const isUrgent = grown >= limit - used;
    const isDue = sinceMs >= MAX_MEASURE_INTERVAL_MS || grown >= (limit - used) * MEASURE_AT_GROWTH_SHARE;
    if (!isDue || (!isUrgent && sinceMs < pauseMs) || sinceMs < Math.min(pauseMs, CHECK_INTERVAL_MS)) return undefined;
    const startedMs = performance.now();
    used = (await usedBytes(folder, signal)) ?? used;
    freeThen = free;
    measuredAtMs = performance.now();
    pauseMs = (measuredAtMs - startedMs) * PAUSE_PER_MEASURE_TIME;
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

/** Bytes of the blocks on disk, hard links counted once. Undefined where it is unknown. */
async function usedBytes({ home, workspace, tmp, varTmp }: SandboxFolder, signal: AbortSignal): Promise<number | undefined> {
  const args = ['-s', '-c', '-x', '--block-size=1', '--', home, workspace, tmp, varTmp];
  // A file that vanishes meanwhile makes du fail, but its output is still right.
  const output = await promisify(execFile)('du', args, { signal, timeout: MEASURE_TIMEOUT_MS, env: { PATH: '/usr/bin:/bin' } }).then(
    ({ stdout }) => stdout,
    (error: unknown) => (typeof error === 'object' && error !== null && 'stdout' in error ? String(error.stdout) : ''),
  );
  const total = /^(\d+)\s+\S+\s*$/.exec(output.trimEnd().split('\n').at(-1) ?? '')?.[1];
  return total === undefined ? undefined : Number(total);
}
