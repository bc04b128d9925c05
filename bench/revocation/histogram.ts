/** Upper ends of the buckets, ms; the last one has none. */
const BUCKETS_MS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 120_000];

export interface Bucket {
  /** Null of the last one. */
  toMs: number | null;
  count: number;
}

/** Counts samples by bucket; a sample at the end of a bucket is in it. Buckets without samples are left out. */
export function histogramOf(samples: readonly number[]): Bucket[] {
  const counts = new Map<number | null, number>();
  for (const sample of samples) {
    const toMs = BUCKETS_MS.find((end) => sample <= end) ?? null;
    counts.set(toMs, (counts.get(toMs) ?? 0) + 1);
  }
  return [...BUCKETS_MS, null].flatMap((toMs) => {
    const count = counts.get(toMs);
    return count === undefined ? [] : [{ toMs, count }];
  });
}
