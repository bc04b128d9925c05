import { percentile } from '../percentile.ts';
import { cpuMs, rssMb } from '../process-tree.ts';
import { say } from '../report.ts';
import { load, PROTOCOLS, type Batch, type Protocol, type Target } from './call.ts';
import { round } from './figures.ts';

/** Concurrent streams, with the requests of one batch and the number of rounds. A batch is short, so that noise hits all alike. */
const LEVELS = [
  { streams: 1, batch: 10, rounds: 24 },
  { streams: 16, batch: 64, rounds: 7 },
  { streams: 64, batch: 128, rounds: 5 },
] as const;
/** Until the code of a gateway is compiled and its connections are open. */
const WARM_UP = 200;
const SHORT = { batchDivisor: 4, rounds: 2, warmUp: 16 } as const;

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
}

export interface Compared {
  direct: { protocol: Protocol; streams: number; p50Ms: number; p99Ms: number; rps: number }[];
  contenders: Record<string, { rows: Row[]; rssMb: number; storeRssMb: number }>;
}

/** Measures streams through every contender beside calling the provider directly: in each round each gets one batch, in turns. */
export async function compareStreams(
  direct: Record<Protocol, Target>,
  contenders: readonly Contender[],
  { isShort }: { isShort: boolean },
): Promise<Compared> {
  const compared: Compared = { direct: [], contenders: {} };
  const rows: Record<string, Row[]> = Object.fromEntries(contenders.map(({ name }) => [name, []]));
  for (const protocol of PROTOCOLS) {
    const lanes = await openLanes(direct, contenders, protocol);
    for (const lane of lanes) await load(lane.target, { protocol, stream: true, concurrency: 8, total: isShort ? SHORT.warmUp : WARM_UP });
    for (const { streams, batch, rounds } of LEVELS) {
      say(`${protocol}: ${streams} streams`);
      const total = Math.max(streams, isShort ? batch / SHORT.batchDivisor : batch);
      await runRounds(lanes, { protocol, streams, total, rounds: isShort ? SHORT.rounds : rounds });
      const [base, ...others] = lanes.map((lane) => lane.take());
      if (base === undefined) continue;
      compared.direct.push({ protocol, streams, ...summaryOf(base) });
      for (const measured of others) rows[measured.name]?.push({ protocol, streams, ...rowOf(measured, base) });
    }
  }
  for (const { name, processes } of contenders) {
    const { gateway, store } = await processes();
    const memory = { rssMb: Math.round(await rssMb(gateway)), storeRssMb: Math.round(await rssMb(store)) };
    compared.contenders[name] = { rows: rows[name] ?? [], ...memory };
  }
  return compared;
}

interface Measured {
  name: string;
  batches: Batch[];
  cpuMs: number;
  storeCpuMs: number;
}

/** What collects the batches of one contender. */
class Lane {
  readonly target: Target;
  readonly #name: string;
  readonly #pids: { gateway: number[]; store: number[] };
  #measured: Measured;

  constructor(name: string, target: Target, pids: { gateway: number[]; store: number[] }) {
    this.#name = name;
    this.target = target;
    this.#pids = pids;
    this.#measured = this.#empty();
  }

  async run(options: Parameters<typeof load>[1]): Promise<void> {
    const { gateway, store } = this.#pids;
    const before = [await cpuMs(gateway), await cpuMs(store)] as const;
    this.#measured.batches.push(await load(this.target, options));
    this.#measured.cpuMs += (await cpuMs(gateway)) - before[0];
    this.#measured.storeCpuMs += (await cpuMs(store)) - before[1];
  }

  /** What was measured since the last time. */
  take(): Measured {
    const measured = this.#measured;
    this.#measured = this.#empty();
    return measured;
  }

  #empty(): Measured {
    return { name: this.#name, batches: [], cpuMs: 0, storeCpuMs: 0 };
  }
}

/** The first is the provider itself. */
async function openLanes(direct: Record<Protocol, Target>, contenders: readonly Contender[], protocol: Protocol): Promise<Lane[]> {
  const lanes = [new Lane('direct', direct[protocol], { gateway: [], store: [] })];
  for (const { name, targets, processes } of contenders) {
    const target = targets[protocol];
    if (target !== undefined) lanes.push(new Lane(name, target, await processes()));
  }
  return lanes;
}

interface RoundOptions {
  protocol: Protocol;
  streams: number;
  total: number;
  rounds: number;
}

async function runRounds(lanes: readonly Lane[], { protocol, streams, total, rounds }: RoundOptions): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    // Each round begins with another one: none always follows the same neighbor.
    const first = round % lanes.length;
    for (const lane of [...lanes.slice(first), ...lanes.slice(0, first)])
      await lane.run({ protocol, stream: true, concurrency: streams, total });
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
  const added = batches.map(({ latencies }, index) => percentile(latencies, 50) - percentile(base.batches[index]?.latencies ?? [], 50));
  const [latencies, direct] = [latenciesOf(batches), latenciesOf(base.batches)];
  const over = (percent: number): number => round(percentile(latencies, percent) - percentile(direct, percent));
  return {
    addedMs: { p10: over(10), p50: round(percentile(added, 50)), p99: over(99) },
    spreadMs: [round(percentile(added, 25)), round(percentile(added, 75))],
    rps: summaryOf(measured).rps,
    cpuMs: round(measured.cpuMs / latencies.length),
    storeCpuMs: round(measured.storeCpuMs / latencies.length),
  };
}

function medianOf(batches: readonly Batch[], figure: (batch: Batch) => number): number {
  return percentile(batches.map(figure), 50);
}

function latenciesOf(batches: readonly Batch[]): number[] {
  return batches.flatMap(({ latencies }) => latencies);
}
