import { percentile } from '../percentile.ts';
import { cpuMs, cpuUsedMs, rssMb } from '../process-tree.ts';
import { say } from '../report.ts';
import { load, PROTOCOLS, type Batch, type Protocol, type Target } from './call.ts';
import { round } from './figures.ts';

/** Concurrent streams, with the requests of one batch and its rounds in one pass. A batch is short, so that noise hits all alike. */
const LEVELS = [
  { streams: 1, batch: 10, rounds: 4 },
  { streams: 16, batch: 64, rounds: 1 },
  { streams: 64, batch: 128, rounds: 1 },
] as const;
type Level = (typeof LEVELS)[number];
/** Through everything that is measured. On a busy machine the time ends first: a pass that has begun is completed. */
const PASSES = 8;
const MAX_MS = 420_000;
/** Until the code of a gateway is compiled and its connections are open. */
const WARM_UP = 100;
const SHORT = { passes: 1, warmUp: 16 } as const;

/** A gateway that runs. */
export interface Contender {
  name: string;
  targets: Partial<Record<Protocol, Target>>;
  processes(): Promise<{ gateway: number[]; store: number[] }>;
}

/** Figures of one gateway with one protocol at one number of streams: medians over the rounds, except where it says otherwise. */
export interface Row {
  protocol: Protocol;
  streams: number;
  /**
   * Over calling the provider directly: `p50` in the same round, `p10` and `p99` of all requests of all rounds. On a busy machine `p10` is
   * nearest to what the code takes, since the other requests also wait for a processor.
   */
  addedMs: { p10: number; p50: number; p99: number };
  /** The first and the third quartile of the added p50 over the rounds. */
  spreadMs: [number, number];
  rps: number;
  /** User and system time of its processes per request, mean; and of the processes of its store. */
  cpuMs: number;
  storeCpuMs: number;
  /** Requests that were not answered in full, which are in none of the figures, and the reason of the first. */
  failed: number;
  failure: string | null;
}

export interface Compared {
  passes: number;
  direct: { protocol: Protocol; streams: number; p50Ms: number; p99Ms: number; rps: number }[];
  contenders: Record<string, Figures>;
}

interface Figures {
  rows: Row[];
  rssMb: number;
  storeRssMb: number;
}

/** Measures streams through every contender beside calling the provider directly: in each round each gets one batch, in turns. */
export async function compareStreams(
  direct: Record<Protocol, Target>,
  contenders: readonly Contender[],
  { isShort }: { isShort: boolean },
): Promise<Compared> {
  const groups: Group[] = [];
  for (const protocol of PROTOCOLS) {
    for (const level of LEVELS) groups.push({ protocol, level, lanes: openLanes(direct, contenders, protocol) });
    const total = isShort ? SHORT.warmUp : WARM_UP;
    for (const { target } of groups.at(-1)?.lanes ?? []) await load(target, { protocol, stream: true, concurrency: 8, total });
  }
  const startedMs = performance.now();
  let passes = 0;
  while (passes < (isShort ? SHORT.passes : PASSES) && (passes === 0 || performance.now() - startedMs < MAX_MS)) {
    passes += 1;
    say(`pass ${passes}`);
    for (const group of groups) await runRounds(group);
  }
  return {
    passes,
    direct: groups.flatMap(({ protocol, level: { streams }, lanes: [base] }) =>
      base === undefined ? [] : [{ protocol, streams, ...summaryOf(base.measured) }],
    ),
    contenders: Object.fromEntries(await Promise.all(contenders.map((contender) => figuresOf(contender, groups)))),
  };
}

/** Those that are measured in turns. The first lane is that of the provider itself. */
interface Group {
  protocol: Protocol;
  level: Level;
  lanes: Lane[];
}

async function figuresOf(contender: Contender, groups: readonly Group[]): Promise<[string, Figures]> {
  const { gateway, store } = await contender.processes();
  const rows = groups.flatMap(({ protocol, level: { streams }, lanes: [base, ...others] }): Row[] => {
    const lane = others.find(({ measured }) => measured.name === contender.name);
    return lane === undefined || base === undefined ? [] : [{ protocol, streams, ...rowOf(lane.measured, base.measured) }];
  });
  return [contender.name, { rows, rssMb: Math.round(await rssMb(gateway)), storeRssMb: Math.round(await rssMb(store)) }];
}

export interface Measured {
  name: string;
  batches: Batch[];
  cpuMs: number;
  storeCpuMs: number;
}

/** What collects the batches of one contender. */
class Lane {
  readonly target: Target;
  readonly measured: Measured;
  readonly #processes: Contender['processes'];

  constructor(name: string, target: Target, processes: Contender['processes']) {
    this.target = target;
    this.measured = { name, batches: [], cpuMs: 0, storeCpuMs: 0 };
    this.#processes = processes;
  }

  async run(options: Parameters<typeof load>[1]): Promise<void> {
    const before = await this.#cpuMs();
    this.measured.batches.push(await load(this.target, options));
    const after = await this.#cpuMs();
    this.measured.cpuMs += cpuUsedMs(before.gateway, after.gateway);
    this.measured.storeCpuMs += cpuUsedMs(before.store, after.store);
  }

  /** Looks for the processes each time: a store has one per connection. */
  async #cpuMs(): Promise<{ gateway: Map<number, number>; store: Map<number, number> }> {
    const { gateway, store } = await this.#processes();
    return { gateway: await cpuMs(gateway), store: await cpuMs(store) };
  }
}

function openLanes(direct: Record<Protocol, Target>, contenders: readonly Contender[], protocol: Protocol): Lane[] {
  const lanes = [new Lane('direct', direct[protocol], async () => ({ gateway: [], store: [] }))];
  for (const contender of contenders) {
    const target = contender.targets[protocol];
    if (target !== undefined) lanes.push(new Lane(contender.name, target, () => contender.processes()));
  }
  return lanes;
}

async function runRounds({ protocol, level: { streams, batch, rounds }, lanes }: Group): Promise<void> {
  for (let done = 0; done < rounds; done += 1) {
    // Each round begins with another one: none always follows the same neighbor.
    const first = (lanes[0]?.measured.batches.length ?? 0) % lanes.length;
    for (const lane of [...lanes.slice(first), ...lanes.slice(0, first)])
      await lane.run({ protocol, stream: true, concurrency: streams, total: batch });
  }
}

function summaryOf({ batches }: Measured): { p50Ms: number; p99Ms: number; rps: number } {
  return {
    p50Ms: round(medianOf(batches, ({ latencies }) => percentile(latencies, 50))),
    p99Ms: round(percentile(latenciesOf(batches), 99)),
    rps: Math.round(medianOf(batches, ({ requestsPerS }) => requestsPerS)),
  };
}

/** Exported for its test. */
export function rowOf(measured: Measured, base: Measured): Omit<Row, 'protocol' | 'streams'> {
  const { batches } = measured;
  const added = batches
    .map(({ latencies }, index) => percentile(latencies, 50) - percentile(base.batches[index]?.latencies ?? [], 50))
    // Of a round in which every request failed there is none.
    .filter((value) => !Number.isNaN(value));
  const failures = batches.flatMap((batch) => batch.failures);
  const [latencies, direct] = [latenciesOf(batches), latenciesOf(base.batches)];
  const over = (percent: number): number => round(percentile(latencies, percent) - percentile(direct, percent));
  return {
    addedMs: { p10: over(10), p50: round(percentile(added, 50)), p99: over(99) },
    spreadMs: [round(percentile(added, 25)), round(percentile(added, 75))],
    rps: summaryOf(measured).rps,
    cpuMs: round(measured.cpuMs / latencies.length),
    storeCpuMs: round(measured.storeCpuMs / latencies.length),
    failed: failures.length,
    failure: failures[0] ?? null,
  };
}

function medianOf(batches: readonly Batch[], figure: (batch: Batch) => number): number {
  return percentile(batches.map(figure), 50);
}

function latenciesOf(batches: readonly Batch[]): number[] {
  return batches.flatMap(({ latencies }) => latencies);
}
