import { percentile } from '../percentile.ts';
import { call, providerTarget } from './call.ts';
import { ms, round } from './figures.ts';
import type { Ours } from './ours.ts';

/** The README's own budget, and as many requests as agents make beside each other. */
const BUDGET_USD = 1.5;
const PARALLEL = 4;
const ROUNDS = 20;

interface Waits {
  p50: number;
  p99: number;
}

/**
 * How long a request of Claude Code's size waits for its reservation beside others of its job, ms: each round has a key of its own, so that
 * little of the budget is spent. The provider takes 200 ms; what an answer takes beyond that of a request alone is the wait.
 */
export async function measureWaits(ours: Ours, baseUrl: string, { isShort }: { isShort: boolean }): Promise<Waits> {
  const slow = { max_tokens: 32_000, metadata: { user_id: 'slow' } };
  const alone: number[] = [];
  const beside: number[] = [];
  for (let index = 0; index < (isShort ? 2 : ROUNDS); index += 1) {
    const secret = `key-of-the-waits-${index}`;
    await ours.mint({ secret, budgetUsd: BUDGET_USD });
    const target = providerTarget(baseUrl, 'messages', secret);
    const send = (): Promise<number> => call(target, { protocol: 'messages', stream: false, fields: slow });
    alone.push(await send());
    beside.push(...(await Promise.all(Array.from({ length: PARALLEL }, send))));
  }
  const wait = (percent: number): number => round(Math.max(0, percentile(beside, percent) - percentile(alone, 50)));
  return { p50: wait(50), p99: wait(99) };
}

export function waitRow({ p50, p99 }: Waits): string[] {
  return [`${PARALLEL} at once of $${BUDGET_USD}`, '', `waits ${ms(p50)}`, `waits ${ms(p99)}`];
}
