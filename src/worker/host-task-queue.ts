import type { Config } from '../config/config.ts';

/** Returns the task queue of what only this host can do: drive the sandboxes that run on it. */
export function hostTaskQueue({ taskQueue, host }: Pick<Config, 'taskQueue' | 'host'>): string {
  return `${taskQueue}-host-${host}`;
}
