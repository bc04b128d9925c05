import { expect, test } from 'vitest';

import { BudgetHolders } from '../../src/proxy/forward/budget-holders.ts';

test('a request that is alone with its key waits for nobody', () => {
  const holders = new BudgetHolders();
  const other = holders.join('other');
  const one = holders.join('key');
  expect(one.waitForOthers(() => {})).toBe(false);
  one.leave();
  other.leave();
});

test('requests that wait resume when the one that runs ends, and then wait for each other', () => {
  const holders = new BudgetHolders();
  const resumed: string[] = [];
  const runs = holders.join('key');
  const [first, second] = [holders.join('key'), holders.join('key')];
  expect(first.waitForOthers(() => resumed.push('first'))).toBe(true);
  expect(second.waitForOthers(() => resumed.push('second'))).toBe(true);
  expect(resumed).toEqual([]);
  runs.leave();
  expect(resumed).toEqual(['first', 'second']);
  expect(first.waitForOthers(() => resumed.push('first again'))).toBe(true);
  expect(second.waitForOthers(() => {})).toBe(false);
  second.leave();
  expect(resumed).toEqual(['first', 'second', 'first again']);
});

test('a request that was cancelled while it waited is not resumed, and wakes nobody', () => {
  const holders = new BudgetHolders();
  const resumed: string[] = [];
  const runs = holders.join('key');
  const [cancelled, waits] = [holders.join('key'), holders.join('key')];
  cancelled.waitForOthers(() => resumed.push('cancelled'));
  waits.waitForOthers(() => resumed.push('waits'));
  cancelled.leave();
  cancelled.leave();
  expect(resumed).toEqual([]);
  runs.leave();
  expect(resumed).toEqual(['waits']);
});

test('of many requests that are refused together one never waits, so that none waits for nobody', () => {
  const holders = new BudgetHolders();
  const all = Array.from({ length: 20 }, () => holders.join('key'));
  expect(all.filter((one) => !one.waitForOthers(() => {}))).toHaveLength(1);
});
