import { percentile } from '../percentile.ts';
import { load, type Batch, type Target } from './call.ts';
import { ms, round } from './figures.ts';

const REQUESTS = { 1: 400, 50: 1_000 } as const;
/** Until the code is compiled: a gateway lives for weeks. */
const WARM_UP = 500;
const SHORT = 10;

interface Case {
  stream: boolean;
  concurrency: number;
  addedMs: { p50: number; p99: number };
  direct: Summary;
  proxied: Summary;
}

interface Summary {
  p50Ms: number;
  p99Ms: number;
  requestsPerS: number;
}

/** What the gateway adds, over calling the provider directly, with a request and a stream of Messages. */
export async function measureAdded(direct: Target, proxied: Target, { isShort }: { isShort: boolean }): Promise<Case[]> {
  const cases = [];
  for (const concurrency of [1, 50] as const) {
    for (const stream of [false, true]) cases.push(await compare({ direct, proxied, concurrency, stream, isShort }));
  }
  return cases;
}

async function compare({
  direct,
  proxied,
  concurrency,
  stream,
  isShort,
}: {
  direct: Target;
  proxied: Target;
  concurrency: 1 | 50;
  stream: boolean;
  isShort: boolean;
}): Promise<Case> {
  const divisor = isShort ? SHORT : 1;
  const options = { protocol: 'messages', stream, concurrency } as const;
  const requests = REQUESTS[concurrency];
  // Short turns, so that what else the machine does hits both alike.
  const total = concurrency === 1 ? 5 : requests / 10;
  const batches: { direct: Batch[]; proxied: Batch[] } = { direct: [], proxied: [] };
  for (const target of [direct, proxied]) await load(target, { ...options, total: WARM_UP / divisor });
  for (let done = 0; done < requests / divisor; done += total) {
    batches.direct.push(await load(direct, { ...options, total }));
    batches.proxied.push(await load(proxied, { ...options, total }));
  }
  const [a, b] = [summary(batches.direct), summary(batches.proxied)];
  const addedMs = { p50: round(b.p50Ms - a.p50Ms), p99: round(b.p99Ms - a.p99Ms) };
  return { stream, concurrency, addedMs, direct: a, proxied: b };
}

function summary(batches: readonly Batch[]): Summary {
  const latencies = batches.flatMap((batch) => batch.latencies);
  const [failure] = batches.flatMap((batch) => batch.failures);
  if (failure !== undefined) throw new Error(failure);
  const requestsPerS = batches.reduce((sum, batch) => sum + batch.requestsPerS, 0) / batches.length;
  return {
    p50Ms: round(percentile(latencies, 50)),
    p99Ms: round(percentile(latencies, 99)),
    requestsPerS: Math.round(requestsPerS),
  };
}

export const ADDED_TITLES = ['', 'concurrency', 'added p50', 'added p99', 'direct p50', 'gateway p50', 'direct req/s', 'gateway req/s'];

export function addedRow({ stream, concurrency, addedMs, direct, proxied }: Case): string[] {
  return [
    stream ? 'streaming' : 'not streaming',
    String(concurrency),
    ms(addedMs.p50),
    ms(addedMs.p99),
    ms(direct.p50Ms),
    ms(proxied.p50Ms),
    String(direct.requestsPerS),
    String(proxied.requestsPerS),
  ];
}
