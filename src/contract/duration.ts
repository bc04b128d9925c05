import ms from 'ms';

/** A duration as people write it, in the environment and in jobs. */
export type Duration = `${number}${'' | ' '}${'s' | 'm' | 'h' | 'd'}`;

export const DURATION_PATTERN = /^\d+(\.\d+)? ?[smhd]$/;
export const DURATION_EXAMPLES = 'a duration such as "30s", "10m", "24h" or "7d"';

/** Returns the milliseconds of a duration, to the nearest whole one; NaN for anything else. */
export function durationMs(text: string): number {
  return isDuration(text) ? Math.round(ms(text)) : Number.NaN;
}

function isDuration(text: string): text is Duration {
  return DURATION_PATTERN.test(text);
}
