import ms from 'ms';
import { z } from 'zod';

/** A duration as people write it, in the environment and in jobs. */
export type Duration = `${number}${'' | ' '}${'s' | 'm' | 'h' | 'd'}`;

export const DURATION_PATTERN = /^\d+(\.\d+)? ?[smhd]$/;
export const DURATION_EXAMPLES = 'a duration such as "30s", "10m", "24h" or "7d"';

/** Returns the milliseconds of a duration, to the nearest whole one; NaN for anything else. */
export function durationMs(text: string): number {
  return isDuration(text) ? Math.round(ms(text)) : Number.NaN;
}

/** The schema of a duration of at least one millisecond and at most `max`. */
export function durationSchema(max: Duration): z.ZodString {
  const longestMs = ms(max);
  const error = `must be ${DURATION_EXAMPLES}, more than zero and at most ${ms(longestMs, { long: true })}`;
  return z
    .string()
    .regex(DURATION_PATTERN, { error, abort: true })
    .refine((text) => durationMs(text) > 0 && durationMs(text) <= longestMs, error);
}

function isDuration(text: string): text is Duration {
  return DURATION_PATTERN.test(text);
}
