import { expect, test } from 'vitest';

import { durationSchema } from '../../src/contract/duration-schema.ts';
import { durationMs } from '../../src/contract/duration.ts';

test.each([
  ['30s', 30_000],
  ['1.5 h', 5_400_000],
  ['7d', 604_800_000],
  ['0.0004s', 0],
])('"%s" is %d ms', (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});

test.each(['', '30', '30ms', '2w', '-1s', '.5h', '1h30m', '1e3s', '30 seconds', '1  s', '1H', `${'1'.repeat(200)}s`])(
  '"%s" is no duration',
  (text) => {
    expect(durationMs(text)).toBeNaN();
    const messages = durationSchema('7d')
      .safeParse(text)
      .error?.issues.map(({ message }) => message);
    expect(messages).toEqual(['must be a duration such as "30s", "10m", "24h" or "7d", more than zero and at most 7 days']);
  },
);

test('a limit is part of the duration’s schema, as is more than nothing', () => {
  const schema = durationSchema('2h');
  const accepted = ['1s', '120m', '0.05d', '0s', '0.0001s', '121m', '1d'].filter((text) => schema.safeParse(text).success);
  expect(accepted).toEqual(['1s', '120m', '0.05d']);
});
