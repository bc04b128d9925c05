import { describe, expect, it } from 'vitest';

import { Admission, decideAdmission } from '../../src/proxy/admission.ts';

describe('decideAdmission', () => {
  it.each([
    // budget, spent, reserved, estimate
    [1, 0, 0, 0.5, 'run', 'it fits'],
    [1, 0.9, 0, 5, 'run', 'alone it runs as long as anything is left'],
    [1, 1, 0, 0.01, 'refuse', 'nothing is left'],
    [1, 1.2, 0, 0.01, 'refuse', 'more than the budget is spent'],
    [1, 0, 0.5, 0.5, 'run', 'it just fits beside the others'],
    [1, 0, 0.5, 0.51, 'wait', 'it does not fit beside the others'],
    [1, 0.5, 0.25, 0.25, 'run', 'what is spent counts'],
    [1, 1, 0.25, 0, 'refuse', 'nothing is left, whatever runs'],
  ])('budget %d, spent %d, reserved %d, estimate %d: %s, since %s', (budgetUsd, spentUsd, reservedUsd, estimateUsd, decision) => {
    expect(decideAdmission({ budgetUsd, spentUsd, reservedUsd }, estimateUsd).do).toBe(decision);
  });
});

describe('Admission', () => {
  const funds = { budgetUsd: 1, spentUsd: 0 };
  const signal = new AbortController().signal;

  it('lets those that wait run in their order, and remembers what was spent meanwhile', async () => {
    const admission = new Admission();
    const order: string[] = [];
    const first = await admission.admit('a', funds, 0.6, signal);
    const big = admission.admit('a', funds, 0.9, signal).then((admitted) => (order.push('big'), admitted));
    const small = admission.admit('a', funds, 0.1, signal).then((admitted) => (order.push('small'), admitted));
    if (first.do !== 'run') throw new Error('the first was not admitted');
    first.release(0.5);
    const second = await big;
    expect(order).toEqual(['big']);
    if (second.do !== 'run') throw new Error('the second was not admitted');
    second.release(1.1);
    expect((await small).do).toBe('refuse');
    expect((await admission.admit('a', funds, 0.1, signal)).do, 'a look-up that was overtaken').toBe('refuse');
  });

  it('takes whoever gives up out of the queue', async () => {
    const admission = new Admission();
    const first = await admission.admit('a', funds, 0.6, signal);
    const caller = new AbortController();
    const leaving = admission.admit('a', funds, 0.9, caller.signal);
    const next = admission.admit('a', funds, 0.4, signal);
    caller.abort();
    expect((await leaving).do).toBe('leave');
    expect((await next).do).toBe('run');
    expect(first.do).toBe('run');
  });

  it('keeps keys apart', async () => {
    const admission = new Admission();
    await admission.admit('a', funds, 1, signal);
    expect((await admission.admit('b', funds, 1, signal)).do).toBe('run');
  });
});
