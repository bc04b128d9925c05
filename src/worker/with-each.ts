import pMap from 'p-map';

import { MAX_CONCURRENT_ITEMS } from '../keys/sweep/sweep-runner.ts';

/** Does the work for each: one that fails keeps no other from its turn. Throws the first failure at the end. */
export async function withEach<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const failures: unknown[] = [];
  await pMap(items, (item) => work(item).catch((error: unknown) => failures.push(error)), { concurrency: MAX_CONCURRENT_ITEMS });
  if (failures.length > 0) throw failures[0];
}
