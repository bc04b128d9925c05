import { randomUUID } from 'node:crypto';

import { percentile } from '../../../bench/percentile.ts';
import { loadConfig } from '../../../src/config/config.ts';
import type { ExternalGatewayName } from '../../../src/contract/gateway-name.ts';
import { startStack, type Stack } from '../../../src/dev/stack.ts';
import { startFakeGateway } from '../../fakes/gateway/server.ts';
import { runFaultTable } from '../../promises/no-key-outlives-its-job/fault-table.ts';
import { proveGateway, type GatewayParts, type GatewayProof } from '../gateways/gateways.ts';
import { GATEWAYS } from '../gateways/rigs.ts';
import { withLanes, type Lane, type OpenLane, type SharedParts } from '../lane.ts';
import { seeded } from '../random.ts';
import { say } from '../say.ts';
import { allDown } from './all-down.ts';
import { auditJob, audited, type Audited } from './audit.ts';
import { CAUSES, type CaseReport, type Cause } from './case.ts';
import { control, EVENTS, resetEnded } from './control.ts';
import { crash, crashPoints, crashSweeps } from './crash.ts';
import { Gates } from './gates.ts';
import { mutations, runTests, type MutationReport } from './mutations.ts';
import { incompatibleBuild, newerBuild } from './other-build.ts';
import { restartParts } from './restart.ts';
import { JOB, SCENARIOS } from './scenarios.ts';
import { STEPS, type Step } from './steps.ts';

export interface KeyProof {
  cases: number;
  orphans: number;
  doubles: number;
  sweptLive: number;
  secondsToDead: Partial<Record<Cause, { p50: number; p99: number; max: number }>>;
  mutations: MutationReport[];
  casesByKind: Record<string, number>;
  gateways: Partial<Record<ExternalGatewayName, GatewayProof>>;
  seconds: number;
  complaints: string[];
}

/** With `quick` each table has a part of its cases, and nothing is taken out of the code. */
export interface KeyProofOptions {
  seed: number;
  quick: boolean;
  /** Only what is proven of this gateway. */
  gateway?: ExternalGatewayName | undefined;
}

/** The sweep looks all the time, and is quick to act. */
const SWEEPS = { VALETKEY_SWEEP_INTERVAL: '3s', VALETKEY_INVENTORY_INTERVAL: '12s', VALETKEY_SWEEP_GRACE: '4s' };
/** Of the points, with `quick`. */
const EVERY = 5;
/** ms: a second worker lives at most so long. */
const AGAIN_MS = 6_000;

/** Whatever ends a job, and whatever fails meanwhile: its keys die in time, and no other key does. */
export async function keys({ seed, quick, gateway }: KeyProofOptions): Promise<KeyProof> {
  const startedMs = Date.now();
  const byKind = new Map<string, CaseReport[]>();
  const take = (kind: string, reports: CaseReport[]): void => {
    byKind.set(kind, [...(byKind.get(kind) ?? []), ...reports]);
    say(
      `${kind}: ${reports.length} cases, ${reports.filter(({ orphans, complaints }) => orphans + complaints.length > 0).length} of them wrong`,
    );
    for (const complaint of reports.flatMap(({ complaints }) => complaints)) say(`  ${complaint}`);
  };
  const ofOwnGateway = async (open: OpenLane, parts: SharedParts): Promise<void> => {
    await Promise.all([
      crashes(open, seed, quick, take),
      onLane(open, 'keys_sweep', { VALETKEY_SWEEP_GRACE: '2s' }, async (audit, lane) =>
        take('crash in a sweep', await crashSweeps(audit, lane, quick ? 12 : 1)),
      ),
      onLane(open, 'keys_build', { VALETKEY_KEY_LEASE: '12s' }, async (audit, lane) => {
        take('worker of an incompatible build', await incompatibleBuild(audit, lane));
      }),
      onLane(open, 'keys_down', {}, async (audit, lane) => take('all down', await allDown(audit, lane, quick ? 2 : 10))),
    ]);
    await controls(parts, quick, take);
    await faults(parts, quick, take);
  };
  const gateways: KeyProof['gateways'] = {};
  await withLanes(async (open, parts) => {
    if (gateway === undefined) await ofOwnGateway(open, parts);
    for (const name of gateway === undefined ? GATEWAYS : [gateway]) {
      const onStackWith: GatewayParts['onStack'] = async (environment, work) => onStack(parts, { environment, adapt: undefined }, work);
      gateways[name] = await proveGateway(name, { open, onStack: onStackWith, take, quick });
    }
  });
  if (gateway === undefined) await restartParts(SWEEPS, stepsFor(quick), take);
  if (gateway === undefined && !quick) take('a part lost', await lostParts());
  const reports = [...byKind.values()].flat();
  const sum = (of: (report: CaseReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  return {
    cases: reports.length,
    orphans: sum(({ orphans }) => orphans),
    doubles: sum(({ doubles }) => doubles),
    sweptLive: sum(({ sweptLive }) => sweptLive),
    secondsToDead: Object.fromEntries(CAUSES.flatMap((cause) => figures(cause, reports))),
    mutations: quick || gateway !== undefined ? [] : await mutations(),
    casesByKind: Object.fromEntries([...byKind].map(([kind, { length }]) => [kind, length])),
    gateways,
    seconds: Math.round((Date.now() - startedMs) / 1000),
    complaints: reports.flatMap(({ complaints }) => complaints),
  };
}

/** Whether nothing was found. */
export function holdsForKeys({ orphans, doubles, sweptLive, complaints, mutations: taken }: KeyProof): boolean {
  return orphans + doubles + sweptLive + complaints.length === 0 && taken.every(({ caughtBy }) => caughtBy !== null);
}

type Take = (kind: string, reports: CaseReport[]) => void;

async function crashes(open: OpenLane, seed: number, quick: boolean, take: Take): Promise<void> {
  const random = seeded(seed);
  // One lane after the other: a worker that starts among too much else is late for its jobs.
  for (const scenario of SCENARIOS) {
    await onLane(open, `keys_${scenario.name}`, SWEEPS, async (audit, lane) => {
      const points = (await crashPoints(audit, lane, scenario)).filter((_, index) => !quick || index % EVERY === 0);
      take(`crash, ${scenario.name}`, await crash(audit, lane, scenario, points));
      const some = points.filter((_, index) => index % (quick ? 2 : 4) === 0);
      take(`two crashes, ${scenario.name}`, await crash(audit, lane, scenario, some, () => random() * AGAIN_MS));
      if (scenario.name === 'plain') take('worker of a newer build', await newerBuild(audit, lane, scenario, points));
    });
  }
}

async function onLane(
  open: OpenLane,
  name: string,
  environment: NodeJS.ProcessEnv,
  work: (audit: Audited, lane: Lane) => Promise<void>,
): Promise<void> {
  const lane = await open(name, { statements: true, environment });
  const audit = await audited(lane);
  try {
    await work(audit, lane);
  } finally {
    await audit.close();
  }
}

async function controls(parts: SharedParts, quick: boolean, take: Take): Promise<void> {
  const gates = new Gates();
  await onStack(parts, { environment: SWEEPS, adapt: gates.adapt }, async (stack) => {
    const audit = await audited(stack);
    for (const event of EVENTS) {
      take(`${event} in each step`, await Promise.all(stepsFor(quick).map(async (step) => control(audit, gates, event, step))));
    }
    take('reset of an ended job', await resetEnded(audit, quick ? 3 : 1));
    take('jobs at once', await atOnce(audit, quick ? 10 : 50));
    await audit.close();
  });
}

function stepsFor(quick: boolean): Step[] {
  return STEPS.filter((_, index) => !quick || index % 2 === 0);
}

async function atOnce(audit: Audited, jobs: number): Promise<CaseReport[]> {
  const jobIds = Array.from({ length: jobs }, (_, index) => `at-once-${index + 1}`);
  await Promise.all(jobIds.map(async (id) => audit.stack.client.jobs.submit(JOB, { id })));
  return Promise.all(jobIds.map(async (jobId) => auditJob(audit, jobId, { name: jobId, cause: 'clean', fromMs: null })));
}

async function faults(parts: SharedParts, quick: boolean, take: Take): Promise<void> {
  const fake = await startFakeGateway();
  const environment = {
    VALETKEY_SWEEP_GRACE: '1s',
    VALETKEY_KEY_LEASE: '1m',
    VALETKEY_SWEEP_INTERVAL: '1h',
    VALETKEY_INVENTORY_INTERVAL: '1h',
  };
  await onStack(parts, { environment, adapt: fake.adapt }, async (stack) => {
    await fake.attach(stack);
    take('fault of the gateway', await runFaultTable({ stack: { ...stack, fake }, whole: !quick }));
  });
  await fake.close();
}

async function onStack(
  parts: SharedParts,
  { environment, adapt }: { environment: NodeJS.ProcessEnv; adapt: Parameters<typeof startStack>[0]['adapt'] },
  work: (stack: Stack) => Promise<void>,
): Promise<void> {
  const id = randomUUID().slice(0, 8);
  const config = loadConfig({
    PATH: process.env.PATH,
    DATABASE_URL: await parts.createDatabase(`keys_${id}`),
    VALETKEY_TASK_QUEUE: `keys-${id}`,
    VALETKEY_LOG_LEVEL: 'error',
    ...environment,
  });
  const stack = await startStack({ report: say, config, temporal: parts.temporal, ...(adapt === undefined ? {} : { adapt }) });
  try {
    await work(stack);
  } finally {
    await stack.stop();
  }
}

/** Those that do not come back, too: the tests that lose them try each key at the end. */
async function lostParts(): Promise<CaseReport[]> {
  const results = await runTests(undefined, 'trouble/lost-parts.test.ts', '');
  return results.map(({ title, passed }) => ({
    name: title,
    cause: 'fault',
    orphans: passed ? 0 : 1,
    doubles: 0,
    sweptLive: 0,
    secondsToDead: null,
    complaints: passed ? [] : [`${title}: failed`],
  }));
}

function figures(cause: Cause, reports: readonly CaseReport[]): [Cause, { p50: number; p99: number; max: number }][] {
  const seconds = reports.filter((report) => report.cause === cause).flatMap(({ secondsToDead }) => secondsToDead ?? []);
  if (seconds.length === 0) return [];
  return [[cause, { p50: percentile(seconds, 50), p99: percentile(seconds, 99), max: Math.max(...seconds) }]];
}
