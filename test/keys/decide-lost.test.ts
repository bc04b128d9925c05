import { expect, test } from 'vitest';

import {
  WORKER_LOST_AFTER_MS,
  decideLost,
  HOST_LOST_AFTER_MS,
  addScan,
  NO_QUIET_TIMES,
  type QuietTimes,
} from '../../src/keys/sweep/decide-lost.ts';

/** Scans the same workers every two seconds for `forMs`, and returns the workers and hosts that are lost then. */
function watched(workers: readonly [id: string, host: string, seenAtMs: (nowMs: number) => number][], forMs: number, every = 2_000) {
  let quiet: QuietTimes = NO_QUIET_TIMES;
  let decision: ReturnType<typeof decideLost> = { lostWorkers: [], lostHosts: [] };
  for (let nowMs = 1_000_000; nowMs <= 1_000_000 + forMs; nowMs += every) {
    const seen = workers.map(([id, taskQueue, seenAt]) => ({ id, taskQueue, seenAtMs: seenAt(nowMs), agoMs: nowMs - seenAt(nowMs) }));
    quiet = addScan(quiet, seen, nowMs);
    decision = decideLost(quiet, seen);
  }
  return { lostWorkers: decision.lostWorkers.map(({ id }) => id), lostHosts: decision.lostHosts };
}

const once = (): number => 1_000_000;
const always = (nowMs: number): number => nowMs;

test.each([
  [WORKER_LOST_AFTER_MS - 2_000, [], []],
  [WORKER_LOST_AFTER_MS, ['a'], []],
  [HOST_LOST_AFTER_MS - 2_000, ['a'], []],
  [HOST_LOST_AFTER_MS, ['a'], ['host']],
])('a worker that is quiet for %i ms is lost: %j, and its host is lost: %j', (forMs, lostWorkers, lostHosts) => {
  expect(watched([['a', 'host', once]], forMs)).toEqual({ lostWorkers, lostHosts });
});

test('a host is present as long as one of its workers is', () => {
  expect(
    watched(
      [
        ['a', 'host', once],
        ['b', 'host', always],
      ],
      HOST_LOST_AFTER_MS,
    ),
  ).toEqual({ lostWorkers: ['a'], lostHosts: [] });
});

test('a gap between two scans counts as ten seconds: an outage of Postgres costs no job', () => {
  expect(watched([['a', 'host', once]], 600_000, 600_000)).toEqual({ lostWorkers: [], lostHosts: [] });
});

test('a host that was quiet before the first scan is lost ten seconds sooner', () => {
  expect(watched([['a', 'host', () => 0]], HOST_LOST_AFTER_MS - 10_000)).toEqual({ lostWorkers: ['a'], lostHosts: ['host'] });
});
