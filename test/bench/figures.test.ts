import { expect, test } from 'vitest';

import { barsOf } from '../../bench/gateway/bars.ts';
import { rowOf, type Row } from '../../bench/gateway/comparison.ts';
import { cpuTicksOf, cpuUsedMs } from '../../bench/process-tree.ts';
import { histogramOf } from '../../bench/revocation/histogram.ts';
import { lastAccepted } from '../../bench/revocation/last-accepted.ts';

/** What the benches make of what they measure. */
test('a histogram counts a sample in the bucket that ends with it, and names no empty bucket', () => {
  expect(histogramOf([0, 1, 1.1, 2, 1e9])).toEqual([
    { toMs: 0, count: 1 },
    { toMs: 1, count: 1 },
    { toMs: 2, count: 2 },
    { toMs: null, count: 1 },
  ]);
});

const sent = (atMs: number, isAccepted: boolean): { atMs: number; isAccepted: boolean } => ({ atMs, isAccepted });

test('a key is accepted until the last request that passed, in whatever order the answers came', () => {
  const traffic = [sent(130, false), sent(90, true), sent(110, true), sent(120, true), sent(115, false)];
  expect(lastAccepted(traffic, 100)).toEqual({ lastAcceptedMs: 20, refusedFromMs: 30 });
});

test('a request that was sent before the revocation does not count', () => {
  expect(lastAccepted([sent(99, true), sent(104, false)], 100)).toEqual({ lastAcceptedMs: 0, refusedFromMs: 4 });
});

test('traffic that was never accepted says nothing', () => {
  expect(() => lastAccepted([sent(90, false), sent(110, false)], 100)).toThrow('No request was accepted before the revocation.');
});

test('the CPU time of a process is read behind a name with spaces and parentheses', () => {
  expect(cpuTicksOf('7 (a) b) c) S 1 7 7 0 -1 4194304 1 2 3 4 50 6 0 0 20 0 1 0 9')).toBe(56);
  expect(cpuTicksOf('')).toBe(0);
});

test('a process that is new counts with all of its time, and one that has ended takes nothing from the others', () => {
  expect(
    cpuUsedMs(
      new Map([
        [1, 100],
        [2, 50],
      ]),
      new Map([
        [1, 130],
        [2, 0],
        [3, 7],
      ]),
    ),
  ).toBe(37);
});

const batch = (latencies: number[]) => ({ latencies, requestsPerS: 100, failures: [] });
const measured = (batches: number[][], cpuMs = 0) => ({ name: 'any', batches: batches.map(batch), cpuMs, storeCpuMs: 0 });

test('what a gateway adds is the median over the rounds, each compared with the same round of direct calls', () => {
  // The machine was ten times slower in the last round.
  const row = rowOf(measured([[3], [4], [50]], 12), measured([[1], [1], [10]]));
  expect(row).toMatchObject({ addedMs: { p50: 3 }, spreadMs: [2, 40], rps: 100, cpuMs: 4 });
});

const row = (p50: number, rps: number): Row => ({
  ...{ protocol: 'chat', streams: 1, addedMs: { p10: p50, p50, p99: p50 }, spreadMs: [p50, p50], rps },
  ...{ cpuMs: 1, storeCpuMs: 0, failed: 0, failure: null },
});

test('a bar that is missed is in the report, and an absent peer has no bar', () => {
  const bars = barsOf({
    addedP50Ms: 0.5,
    ours: [row(0.7, 10)],
    brokered: [row(0.7, 10)],
    peers: { tensorzero: [row(0.4, 50)], hardcap: [row(1, 9)] },
  });
  expect(bars.filter(({ holds }) => !holds).map(({ bar }) => bar)).toEqual([
    'chat, 1 stream: added p50 ≤ 0.6 ms',
    'chat, 1 stream: ≤ 0.2 ms over TensorZero',
  ]);
  expect(bars.some(({ bar }) => bar.includes('litellm'))).toBe(false);
});
