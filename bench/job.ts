import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';

import { startStack, type Stack } from '../src/dev/stack.ts';
import { startTemporal } from '../src/dev/temporal.ts';
import type { BareActivities } from './bare-workflow.ts';
import { noopAdapters } from './noop-adapters.ts';
import { percentile } from './percentile.ts';
import { say, type BenchReport } from './report.ts';

/** Many and short, the order turned each time: what else the machine does hits both alike. */
const ROUNDS = 24;
const JOBS = 40;
const CONCURRENCY = 10;
const BARE_QUEUE = 'bare';

interface Figures {
  jobsPerSecond: number;
  /** ms. */
  p50: number;
  p95: number;
}

/** Our job with adapters that do nothing against workflows of six activities that do nothing, in turns on one server. */
export async function job(): Promise<BenchReport> {
  const temporal = await startTemporal({ report: say });
  const stack = await startStack({ report: say, temporal, adapt: noopAdapters });
  const bareJobs = await startBare(temporal.address, temporal.namespace);
  try {
    await measure(() => ourJob(stack));
    await measure(() => bareJobs.run('bare'));
    await measure(() => bareJobs.run('bareInPairs'));
    const ours: Figures[] = [];
    const bare: Figures[] = [];
    const pairs: Figures[] = [];
    const sides = [
      async () => bare.push(await measure(() => bareJobs.run('bare'))),
      async () => ours.push(await measure(() => ourJob(stack))),
      async () => pairs.push(await measure(() => bareJobs.run('bareInPairs'))),
    ];
    for (let round = 1; round <= ROUNDS; round += 1) {
      say(`round ${round} of ${ROUNDS}`);
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) await side();
    }
    return describe(ours, bare, pairs);
  } finally {
    await bareJobs.stop();
    await stack.stop();
    await temporal.stop();
  }
}

async function ourJob({ client }: Stack): Promise<void> {
  const { jobId } = await client.jobs.submit({
    tenant: 'bench',
    agent: 'codex',
    model: 'gpt-5.1-codex',
    prompts: ['nothing'],
    budgetUsd: 1,
  });
  const { outcome } = await client.jobs.result(jobId);
  if (outcome !== 'completed') throw new Error(`a job of the bench ended ${outcome}`);
}

async function startBare(address: string, namespace: string): Promise<{ run(workflow: string): Promise<void>; stop(): Promise<void> }> {
  const native = await NativeConnection.connect({ address, grpcCompression: { codec: 'none' } });
  const activities: BareActivities = { one: nothing, two: nothing, three: nothing, four: nothing, five: nothing, six: nothing };
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: BARE_QUEUE,
    workflowsPath: fileURLToPath(new URL('./bare-workflow.ts', import.meta.url)),
    activities: { ...activities },
  });
  const running = worker.run();
  const client = new Client({ connection: await Connection.connect({ address }), namespace });
  return {
    run: async (workflow) => {
      await client.workflow.execute(workflow, { workflowId: crypto.randomUUID(), taskQueue: BARE_QUEUE });
    },
    stop: async () => {
      worker.shutdown();
      await running;
      await client.connection.close();
      await native.close();
    },
  };
}

function nothing(): Promise<void> {
  return Promise.resolve();
}

async function measure(run: () => Promise<void>): Promise<Figures> {
  const startedMs = performance.now();
  const latencies: number[] = [];
  let left = JOBS;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const at = performance.now();
      await run();
      latencies.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  const seconds = (performance.now() - startedMs) / 1000;
  return { jobsPerSecond: JOBS / seconds, p50: percentile(latencies, 50), p95: percentile(latencies, 95) };
}

/** The median of each figure over the rounds. */
function summarise(rounds: readonly Figures[]): Figures {
  const median = (of: (figures: Figures) => number): number => percentile(rounds.map(of), 50);
  return { jobsPerSecond: median(({ jobsPerSecond }) => jobsPerSecond), p50: median(({ p50 }) => p50), p95: median(({ p95 }) => p95) };
}

function describe(ours: readonly Figures[], bare: readonly Figures[], pairs: readonly Figures[]): BenchReport {
  const [sequenceRatio, pairsRatio] = [ratioOf(ours, bare), ratioOf(ours, pairs)];
  const [our, sequence, paired] = [summarise(ours), summarise(bare), summarise(pairs)];
  const row = (name: string, { jobsPerSecond, p50, p95 }: Figures, by: string): string[] => [
    name,
    jobsPerSecond.toFixed(1),
    p50.toFixed(0),
    p95.toFixed(0),
    by,
  ];
  return {
    json: {
      ratio: pairsRatio,
      ours: our,
      bare: paired,
      inSequence: { ratio: sequenceRatio, bare: sequence },
      rounds: ROUNDS,
      jobs: JOBS,
      concurrency: CONCURRENCY,
    },
    table: [
      ['', 'jobs/s', 'p50 ms', 'p95 ms', 'ours to it'],
      row('our job', our, ''),
      row('bare, in sequence', sequence, sequenceRatio.toFixed(2)),
      row('bare, in pairs', paired, pairsRatio.toFixed(2)),
    ],
  };
}

/** The median over the rounds of our jobs/s to theirs. */
function ratioOf(ours: readonly Figures[], theirs: readonly Figures[]): number {
  return percentile(
    ours.map(({ jobsPerSecond }, round) => jobsPerSecond / (theirs[round]?.jobsPerSecond ?? Number.NaN)),
    50,
  );
}
