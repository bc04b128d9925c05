import { expect, it } from 'vitest';

import { KeyLimits } from '../../../src/proxy/limits/key-limits.ts';
import { isRefusal } from '../../../src/proxy/server/refusal.ts';

function limits(options: Partial<ConstructorParameters<typeof KeyLimits>[0]> = {}) {
  const clock = { ms: 0 };
  const defaults = { requestsPerMinute: 60, concurrentRequests: 10, totalConcurrentRequests: 100 };
  return { clock, keys: new KeyLimits({ ...defaults, ...options }, () => clock.ms) };
}

it('a key makes as many requests per minute as it may, and learns when the next one can begin', () => {
  const { clock, keys } = limits({ requestsPerMinute: 2 });
  for (let made = 0; made < 2; made += 1) {
    const leave = keys.enter('a', 'a');
    if (isRefusal(leave)) throw new Error('refused');
    leave();
  }
  expect(keys.enter('a', 'a')).toMatchObject({ status: 429, code: 'rate_limited', retryAfterMs: 30_000 });
  expect(isRefusal(keys.enter('b', 'b')), 'another key').toBe(false);
  clock.ms = 29_999;
  expect(isRefusal(keys.enter('a', 'a'))).toBe(true);
  clock.ms = 30_000;
  expect(isRefusal(keys.enter('a', 'a'))).toBe(false);
});

it('a key has as many requests in flight as it may, whatever the others do', () => {
  const { keys } = limits({ concurrentRequests: 1 });
  const leave = keys.enter('a', 'a');
  expect(keys.enter('a', 'a')).toHaveProperty('message', 'The key has reached its limit of 1 requests in flight.');
  expect(isRefusal(keys.enter('b', 'b'))).toBe(false);
  if (!isRefusal(leave)) leave();
  expect(isRefusal(keys.enter('a', 'a'))).toBe(false);
});

it('all keys together have as many requests in flight as the replica may', () => {
  const { keys } = limits({ totalConcurrentRequests: 2 });
  keys.enter('a', 'a');
  keys.enter('b', 'b');
  expect(keys.enter('c', 'c')).toMatchObject({ status: 429, code: 'rate_limited' });
});
