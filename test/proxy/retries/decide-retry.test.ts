import { expect, it } from 'vitest';

import { decideRetry, type FailedTry, type RetryState } from '../../../src/proxy/retries/decide-retry.ts';
import { retryAfterMs } from '../../../src/proxy/retries/retry-after.ts';
import { RetryBudget } from '../../../src/proxy/retries/retry-budget.ts';

const first: RetryState = { tries: 1, maxTries: 5, elapsedMs: 50, waitedMs: 0, timeLimitMs: 300_000, random: 0 };
const refused = (status: number, stated: number | null = null): FailedTry => ({
  kind: 'refused',
  status,
  isPermanent: false,
  retryAfterMs: stated,
});

it.each<[string, FailedTry, Partial<RetryState>, object]>([
  ['after half of a second at least', refused(500), {}, { action: 'retry', afterMs: 500 }],
  ['after twice as long each time', refused(500), { tries: 3, random: 0.5 }, { action: 'retry', afterMs: 3_000 }],
  ['after eight seconds at most', refused(500), { tries: 8, maxTries: 10, random: 0.5 }, { action: 'retry', afterMs: 6_000 }],
  ['sooner where a connection broke', { kind: 'broken' }, {}, { action: 'retry', afterMs: 50 }],
  ['as late as the provider asks', refused(429, 20_000), {}, { action: 'retry', afterMs: 20_000 }],
  ['not later than that', refused(429, 20_001), {}, { action: 'give-up', why: 'too-long' }],
  ['not when all waits together are too long', refused(429, 6_000), { waitedMs: 15_000 }, { action: 'give-up', why: 'too-long' }],
  ['not past the time of the request', refused(500), { elapsedMs: 299_500 }, { action: 'give-up', why: 'too-long' }],
  ['although the provider took long', refused(500), { elapsedMs: 299_499 }, { action: 'retry', afterMs: 500 }],
  [
    'not when connects took the time',
    { kind: 'unconnected', isPermanent: false },
    { elapsedMs: 19_501 },
    { action: 'give-up', why: 'too-long' },
  ],
  ['not where the certificate is wrong', { kind: 'unconnected', isPermanent: true }, {}, { action: 'give-up', why: 'permanent' }],
  ['not more often than allowed', refused(500), { tries: 5 }, { action: 'give-up', why: 'exhausted' }],
  ['not where it was rejected', refused(400), {}, { action: 'give-up', why: 'permanent' }],
])('a request is sent again %s', (_what, failed, tried, decision) => {
  expect(decideRetry(failed, { ...first, ...tried })).toEqual(decision);
});

it.each<[Record<string, string>, number | null]>([
  [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
  [{ 'retry-after': '2' }, 2_000],
  [{ 'retry-after': 'Thu, 01 Jan 1970 00:01:05 GMT' }, 5_000],
  [{ 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' }, 0],
  [{ 'retry-after': 'soon' }, null],
  [{}, null],
])('%o asks for %s ms', (headers, ms) => {
  expect(retryAfterMs(headers, 60_000)).toBe(ms);
});

it('a provider that is down gets a fifth more than it would get anyway', () => {
  let nowMs = 0;
  const budget = new RetryBudget(() => nowMs);
  const takeAll = (): number => {
    let taken = 0;
    while (budget.take()) taken += 1;
    return taken;
  };
  expect(takeAll()).toBe(50);
  for (let request = 0; request < 102; request += 1) budget.earn();
  expect(takeAll()).toBe(20);
  nowMs += 10_000;
  expect(takeAll()).toBe(5);
});
