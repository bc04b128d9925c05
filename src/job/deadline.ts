import ms from 'ms';

/** Milliseconds from `startMs` (epoch ms) to the deadline of a job; not positive when it has passed. */
export function msUntilDeadline(deadline: string, startMs: number): number {
  const isInstant = /^\d{4}-/.test(deadline);
  return isInstant ? Date.parse(deadline) - startMs : ms(deadline as ms.StringValue);
}
