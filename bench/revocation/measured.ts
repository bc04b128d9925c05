import pMap from 'p-map';

import { round } from '../gateway/figures.ts';
import { percentile } from '../percentile.ts';
import { histogramOf, type Bucket } from './histogram.ts';
import type { runTrial } from './traffic.ts';

/** How long after the call of `revoke` keys were accepted, over the trials; ms. */
export interface Measured {
  trials: number;
  /** Between two requests of one key: a sample may be short by this much. */
  intervalMs: number;
  lastAcceptedMs: { p50: number; p99: number; max: number };
  /** When the latest of the keys was refused: an upper bound. */
  refusedFromMs: { max: number };
  /** Until the call of `revoke` had returned. */
  revokeTookMs: { p50: number; max: number };
  histogram: Bucket[];
}

export async function measure(
  { trials, parallel, intervalMs }: { trials: number; parallel: number; intervalMs: number },
  trial: (index: number, intervalMs: number) => ReturnType<typeof runTrial>,
): Promise<Measured> {
  const results = await pMap(Array.from({ length: trials }).keys(), (index) => trial(index, intervalMs), { concurrency: parallel });
  const accepted = results.map(({ lastAcceptedMs }) => lastAcceptedMs);
  const took = results.map(({ revokeTookMs }) => revokeTookMs);
  return {
    trials,
    intervalMs,
    lastAcceptedMs: { p50: round(percentile(accepted, 50)), p99: round(percentile(accepted, 99)), max: round(Math.max(...accepted)) },
    refusedFromMs: { max: round(Math.max(...results.flatMap(({ refusedFromMs }) => refusedFromMs ?? []))) },
    revokeTookMs: { p50: round(percentile(took, 50)), max: round(Math.max(...took)) },
    histogram: histogramOf(accepted),
  };
}
