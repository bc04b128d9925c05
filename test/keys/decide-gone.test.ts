import { expect, test } from 'vitest';

import { DEAD_AFTER_MS, decideGone, GONE_AFTER_MS, look, NOBODY_SEEN, type Quiet } from '../../src/keys/sweep/decide-gone.ts';

/** Looks at the same workers every two seconds for so long, and says who is dead and which hosts are gone. */
function watched(workers: readonly [id: string, host: string, seenAtMs: (nowMs: number) => number][], forMs: number, every = 2_000) {
  let quiet: Quiet = NOBODY_SEEN;
  let decision: ReturnType<typeof decideGone> = { dead: [], goneHosts: [] };
  for (let nowMs = 1_000_000; nowMs <= 1_000_000 + forMs; nowMs += every) {
    const seen = workers.map(([id, taskQueue, seenAt]) => ({ id, taskQueue, seenAtMs: seenAt(nowMs), agoMs: nowMs - seenAt(nowMs) }));
    quiet = look(quiet, seen, nowMs);
    decision = decideGone(quiet, seen);
  }
  return { dead: decision.dead.map(({ id }) => id), goneHosts: decision.goneHosts };
}

const once = (): number => 1_000_000;
const always = (nowMs: number): number => nowMs;

test.each([
  [DEAD_AFTER_MS - 2_000, [], []],
  [DEAD_AFTER_MS, ['a'], []],
  [GONE_AFTER_MS - 2_000, ['a'], []],
  [GONE_AFTER_MS, ['a'], ['host']],
])('a worker that is quiet for %i ms is dead: %j, and its host gone: %j', (forMs, dead, goneHosts) => {
  expect(watched([['a', 'host', once]], forMs)).toEqual({ dead, goneHosts });
});

test('a host is there as long as one of its workers is', () => {
  expect(
    watched(
      [
        ['a', 'host', once],
        ['b', 'host', always],
      ],
      GONE_AFTER_MS,
    ),
  ).toEqual({ dead: ['a'], goneHosts: [] });
});

test('a time in which nobody could look counts ten seconds: a Postgres that was away costs no job', () => {
  expect(watched([['a', 'host', once]], 600_000, 600_000)).toEqual({ dead: [], goneHosts: [] });
});

test('a host that was quiet before the first look is gone ten seconds sooner', () => {
  expect(watched([['a', 'host', () => 0]], GONE_AFTER_MS - 10_000)).toEqual({ dead: ['a'], goneHosts: ['host'] });
});
