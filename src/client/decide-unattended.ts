import type { SeenWorker } from '../store/workers.ts';

/** ms. A worker reports every two seconds: one that is silent for longer has ended, or hangs. */
const SILENT_MS = 6_000;

export type Attendance =
  | { action: 'wait'; reason: 'a-worker-reports' | 'an-unknown-worker-polls' }
  | { action: 'warn'; reason: 'nobody-polls' };

/**
 * Decides whether a task queue has no worker. Temporal lists a poller for five minutes after its end, so one that is on record here counts by
 * its reports; one that is not, of another installation, counts as running.
 */
export function decideUnattended(taskQueue: string, seen: readonly SeenWorker[], pollers: readonly string[]): Attendance {
  const reports = seen.some(({ agoMs, taskQueue: own }) => agoMs <= SILENT_MS && own.startsWith(`${taskQueue}-host-`));
  if (reports) return { action: 'wait', reason: 'a-worker-reports' };
  const recorded = new Set(seen.map(({ id }) => id));
  if (pollers.some((identity) => !recorded.has(identity))) return { action: 'wait', reason: 'an-unknown-worker-polls' };
  return { action: 'warn', reason: 'nobody-polls' };
}
