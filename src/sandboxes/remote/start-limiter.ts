import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves when a sandbox may be started. */
export type StartLimiter = (signal?: AbortSignal) => Promise<void>;

/**
 * Spaces the starts of this process evenly, so that a burst of jobs does not run into the vendor's own limit. Other workers have
 * limiters of their own: the vendor's answer 429 is what holds for all.
 */
export function createStartLimiter(perSecond: number): StartLimiter {
  let nextMs = 0;
  return async (signal) => {
    const atMs = Math.max(nextMs, performance.now());
    nextMs = atMs + 1_000 / perSecond;
    await sleep(Math.max(0, atMs - performance.now()), undefined, signal && { signal });
  };
}
