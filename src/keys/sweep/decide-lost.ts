import type { SeenWorker } from '../../store/workers.ts';

/** A worker process without a heartbeat for this long is lost, and its activities are retried. Longer than a busy machine pauses a process. */
export const WORKER_LOST_AFTER_MS = 12_000;
/** A host is lost after this long without a heartbeat of any of its workers: longer than a restart, and its jobs fail within a minute. */
export const HOST_LOST_AFTER_MS = 42_000;
/** The time between two scans counts as quiet up to this limit: while no scan ran, heartbeats may have been impossible too. */
const MAX_SCAN_INTERVAL_MS = 10_000;

/** How long each worker has sent no heartbeat while scans ran. */
export interface QuietTimes {
  atMs: number;
  workers: ReadonlyMap<string, { seenAtMs: number; quietMs: number }>;
}

export const NO_QUIET_TIMES: QuietTimes = { atMs: 0, workers: new Map() };

/** Adds one scan to the quiet times. A worker that is seen for the first time has been quiet for as long as the store states. */
export function addScan(before: QuietTimes, seen: readonly SeenWorker[], nowMs: number): QuietTimes {
  const passedMs = Math.min(nowMs - before.atMs, MAX_SCAN_INTERVAL_MS);
  const workers = seen.map(({ id, seenAtMs, agoMs }) => {
    const known = before.workers.get(id);
    const sinceMs = Math.min(agoMs, MAX_SCAN_INTERVAL_MS);
    const quietMs = known?.seenAtMs === seenAtMs ? known.quietMs + passedMs : sinceMs;
    return [id, { seenAtMs, quietMs }] as const;
  });
  return { atMs: nowMs, workers: new Map(workers) };
}

/** Decides which worker processes are lost (ended or hanging) and which hosts are lost, each host by its task queue. */
export function decideLost({ workers }: QuietTimes, seen: readonly SeenWorker[]): { lostWorkers: SeenWorker[]; lostHosts: string[] } {
  const quietMs = ({ id }: SeenWorker): number => workers.get(id)?.quietMs ?? 0;
  const present = new Set(seen.filter((worker) => quietMs(worker) < HOST_LOST_AFTER_MS).map(({ taskQueue }) => taskQueue));
  const hosts = new Set(seen.map(({ taskQueue }) => taskQueue));
  return {
    lostWorkers: seen.filter((worker) => quietMs(worker) >= WORKER_LOST_AFTER_MS),
    lostHosts: [...hosts].filter((host) => !present.has(host)),
  };
}
