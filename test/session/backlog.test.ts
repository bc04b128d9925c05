import { expect, test } from 'vitest';

import { backlogBetween } from '../../src/session/acp/backlog.ts';

const line = (n: number): string => `{"method":"m","params":{"n":${n}}}`;
const file = (first: number, last: number): string =>
  [`{"first":${first}}`, ...Array.from({ length: last - first + 1 }, (_, index) => line(first + index)), ''].join('\n');
const idsOf = (kept: string, after: number, next: { eventId: number; data: string }): number[] =>
  backlogBetween(kept, after, next).map(({ eventId, data }) => {
    expect(data).toBe(line(eventId));
    return eventId;
  });

test('the lines between two events, whatever the order of their fields', () => {
  expect(idsOf(file(1, 9), 2, { eventId: 6, data: '{"params":{"n":6},"method":"m"}' })).toEqual([3, 4, 5]);
  expect(idsOf(file(1, 9), 5, { eventId: 6, data: line(6) })).toEqual([]);
});

test('of a file that began anew in between those that it has', () => {
  expect(idsOf(file(4, 9), 2, { eventId: 6, data: line(6) })).toEqual([4, 5]);
  expect(idsOf(file(6, 9), 2, { eventId: 6, data: line(6) })).toEqual([]);
  expect(idsOf(file(8, 9), 2, { eventId: 6, data: line(6) })).toEqual([]);
});

test.each([
  ['counts otherwise', file(2, 9), line(5)],
  ['ends before', file(1, 5), line(6)],
  ['has no number', file(1, 9).replace('first', 'last'), line(6)],
  ['is empty', '', line(6)],
  ['is torn', `{"first":1}\n{"met`, line(6)],
])('nothing of a file that %s', (_what, kept, data) => {
  expect(backlogBetween(kept, 2, { eventId: 6, data })).toEqual([]);
});

test('a file of nothing but line ends takes no memory', () => {
  const kept = `{"first":1}\n${'\n'.repeat(30_000_000)}`;
  const before = process.memoryUsage().heapUsed;
  expect(backlogBetween(kept, 2, { eventId: 20_000_000, data: line(6) })).toEqual([]);
  expect((process.memoryUsage().heapUsed - before) / 2 ** 20).toBeLessThan(300);
});
