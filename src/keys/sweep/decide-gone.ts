import type { SeenWorker } from '../../store/workers.ts';

/** ms without a sign of life: then the steps of a worker process are handed to the next. Longer than a busy machine pauses a process. */
export const DEAD_AFTER_MS = 12_000;
/** ms without a sign of life of any worker of a host: longer than the restart of one takes, and its jobs fail within a minute. */
export const GONE_AFTER_MS = 48_000;
/** The most, in ms, that the time between two looks counts: a time in which nobody could look, or report, says nothing. */
const MAX_LOOK_MS = 10_000;

/** How long each worker was quiet while somebody looked. */
export interface Quiet {
  atMs: number;
  workers: ReadonlyMap<string, { seenAtMs: number; quietMs: number }>;
}

export const NOBODY_SEEN: Quiet = { atMs: 0, workers: new Map() };

/** What is known after one more look. A worker that is seen for the first time has been quiet as long as the store says. */
export function look(before: Quiet, seen: readonly SeenWorker[], nowMs: number): Quiet {
  const passedMs = Math.min(nowMs - before.atMs, MAX_LOOK_MS);
  const workers = seen.map(({ id, seenAtMs, agoMs }) => {
    const known = before.workers.get(id);
    const sinceMs = Math.min(agoMs, MAX_LOOK_MS);
    const quietMs = known?.seenAtMs === seenAtMs ? known.quietMs + passedMs : sinceMs;
    return [id, { seenAtMs, quietMs }] as const;
  });
  return { atMs: nowMs, workers: new Map(workers) };
}

/** The worker processes that have ended, or hang, and the hosts that are gone: each by its task queue. */
export function decideGone({ workers }: Quiet, seen: readonly SeenWorker[]): { dead: SeenWorker[]; goneHosts: string[] } {
  const quietMs = ({ id }: SeenWorker): number => workers.get(id)?.quietMs ?? 0;
  const present = new Set(seen.filter((worker) => quietMs(worker) < GONE_AFTER_MS).map(({ taskQueue }) => taskQueue));
  const hosts = new Set(seen.map(({ taskQueue }) => taskQueue));
  return {
    dead: seen.filter((worker) => quietMs(worker) >= DEAD_AFTER_MS),
    goneHosts: [...hosts].filter((host) => !present.has(host)),
  };
}
