import { durationMs } from './duration.ts';

/** The limit for all setup commands of a job together, unless the job sets another. */
export const SETUP_TIMEOUT = '10m';

/** Returns the milliseconds from `startMs` (epoch ms) to the deadline of a job; not positive when it has passed. */
export function msUntilDeadline(deadline: string, startMs: number): number {
  const isInstant = /^\d{4}-/.test(deadline);
  return isInstant ? Date.parse(deadline) - startMs : durationMs(deadline);
}
