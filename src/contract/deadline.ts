/** The limit for all setup commands of a job together, unless the job sets another. */
export const SETUP_TIMEOUT = '10m';

/** Returns the milliseconds from `startMs` (epoch ms) to the deadline of a job; not positive when it has passed. */
export function msUntilDeadline(deadline: string, startMs: number): number {
  const isInstant = /^\d{4}-/.test(deadline);
  return isInstant ? Date.parse(deadline) - startMs : durationMs(deadline);
}

const UNITS_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Returns the milliseconds of a duration such as "30m"; NaN for anything else. */
export function durationMs(duration: string): number {
  const [, amount = '', unit = ''] = /^([\d.]+)\s?(\w)$/.exec(duration) ?? [];
  return Number(amount) * (UNITS_MS[unit] ?? Number.NaN);
}
