import ms from 'ms';
import { z } from 'zod';

import { DURATION_EXAMPLES, DURATION_PATTERN, durationMs, type Duration } from './duration.ts';

/** The schema of a duration of at least one millisecond and at most `max`. */
export function durationSchema(max: Duration): z.ZodString {
  const longestMs = ms(max);
  const error = `must be ${DURATION_EXAMPLES}, more than zero and at most ${ms(longestMs, { long: true })}`;
  return z
    .string()
    .regex(DURATION_PATTERN, { error, abort: true })
    .refine((text) => durationMs(text) > 0 && durationMs(text) <= longestMs, error);
}
