import { expect, test } from 'vitest';

import { table } from '../../../src/cli/output/table.ts';

test('columns stand under their titles, as wide as their widest cell on a terminal', () => {
  const rows = [
    ['job-1', '作業', '$0.03'],
    ['a', '', '$12.50'],
  ];
  expect(table(['job', 'name', 'spent'], rows, ['spent']).split('\n')).toEqual([
    'job    name   spent',
    'job-1  作業   $0.03',
    'a            $12.50',
  ]);
});

test('no line ends with spaces', () => {
  expect(table(['a', 'b'], [['long', '']])).toBe('a     b\nlong');
});
