import { expect, test } from 'vitest';

import { endOfText } from '../../src/contract/text.ts';

test.each([
  ['short enough', 'abcdef', 6, 0, 'abcdef'],
  ['one character too long', 'abcdefg', 6, 0, '[… 1 characters cut …]\nbcdefg'],
  ['of lines', 'first\nsecond\nthird', 10, 0, '[… 13 characters cut …]\nthird'],
  ['of which the beginning is gone', 'cde', 6, 2, '[… 2 characters cut …]\ncde'],
  ['that has a mark', '[… 7 characters cut …]\nabcdefgh', 6, 0, '[… 9 characters cut …]\ncdefgh'],
  ['cut in an emoji', 'x😀yz', 3, 0, '[… 3 characters cut …]\nyz'],
])('a text %s', (_what, text, maxChars, dropped, end) => {
  expect(endOfText(text, maxChars, dropped)).toBe(end);
});
