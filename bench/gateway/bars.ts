import type { Row } from './comparison.ts';
import { round } from './figures.ts';

const MAX_ADDED_MS = 0.6;
const MAX_OVER_TENSORZERO_MS = 0.2;
/** More than this between the two kinds of credential is no noise. */
const MAX_BROKERED_MS = 0.1;
/** Those that ours has to be ahead of everywhere: TensorZero checks no keys. */
const BEHIND_US = ['litellm', 'portkey', 'hardcap'];

/** A bar, the figure that it is compared with, and whether it holds. */
export interface Bar {
  bar: string;
  value: number | string;
  holds: boolean;
}

type Rows = Record<string, readonly Row[]>;

/** What the bench has to show. `addedP50Ms`: what ours adds to a request without a stream. A peer that is absent has no bar. */
export function barsOf({ addedP50Ms, ours, brokered, peers }: { addedP50Ms: number; ours: Row[]; brokered: Row[]; peers: Rows }): Bar[] {
  const bars = [limit(`not streaming, 1 request: added p50 ≤ ${MAX_ADDED_MS} ms`, addedP50Ms, MAX_ADDED_MS)];
  for (const { protocol, streams, addedMs } of ours) {
    if (streams === 1) bars.push(limit(`${protocol}, 1 stream: added p50 ≤ ${MAX_ADDED_MS} ms`, addedMs.p50, MAX_ADDED_MS));
    const own = find(brokered, protocol, streams);
    if (own !== undefined && streams === 1)
      bars.push(
        limit(`${protocol}, 1 stream: a stored credential costs ≤ ${MAX_BROKERED_MS} ms`, own.addedMs.p50 - addedMs.p50, MAX_BROKERED_MS),
      );
    const rust = find(peers['tensorzero'], protocol, streams);
    if (rust !== undefined && streams === 1)
      bars.push(
        limit(
          `${protocol}, 1 stream: ≤ ${MAX_OVER_TENSORZERO_MS} ms over TensorZero`,
          addedMs.p50 - rust.addedMs.p50,
          MAX_OVER_TENSORZERO_MS,
        ),
      );
  }
  for (const name of BEHIND_US) bars.push(...aheadOf(name, ours, peers[name] ?? []));
  return bars;
}

function aheadOf(name: string, ours: readonly Row[], theirs: readonly Row[]): Bar[] {
  return theirs.flatMap(({ protocol, streams, addedMs, rps }): Bar[] => {
    const own = find(ours, protocol, streams);
    if (own === undefined) return [];
    const where = `${protocol}, ${streams} ${streams === 1 ? 'stream' : 'streams'}: ahead of ${name}`;
    return [
      { bar: `${where} by added p50, ms`, value: `${own.addedMs.p50} against ${addedMs.p50}`, holds: own.addedMs.p50 < addedMs.p50 },
      { bar: `${where} by added p99, ms`, value: `${own.addedMs.p99} against ${addedMs.p99}`, holds: own.addedMs.p99 < addedMs.p99 },
      { bar: `${where} by requests/s`, value: `${own.rps} against ${rps}`, holds: own.rps > rps },
    ];
  });
}

function limit(bar: string, value: number, most: number): Bar {
  return { bar, value: round(value), holds: value <= most };
}

function find(rows: readonly Row[] = [], protocol: string, streams: number): Row | undefined {
  return rows.find((row) => row.protocol === protocol && row.streams === streams);
}
