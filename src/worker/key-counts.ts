import type { Db } from '../store/database.ts';
import { countKeys } from '../store/key-list.ts';
import type { KeyMetrics } from '../telemetry/key-metrics.ts';

const EVERY_MS = 10_000;

/** Keeps the gauges of an installation's keys up to date, whichever worker sweeps. Resolves what it returns once nothing of it runs. */
export function startKeyCounts(db: Db, owner: string, metrics: KeyMetrics): () => Promise<void> {
  const count = async (): Promise<void> => {
    // A gauge that Postgres does not feed stays as it was; that it is unreachable shows elsewhere.
    await countKeys(db, owner).then(
      (counts) => metrics.setCounts(counts),
      () => {},
    );
  };
  let counting = count();
  const timer = setInterval(() => {
    counting = counting.then(count);
  }, EVERY_MS);
  return async () => {
    clearInterval(timer);
    await counting;
  };
}
