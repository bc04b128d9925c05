import { percentile } from '../../../bench/percentile.ts';
import type { ExternalGatewayName } from '../../../src/contract/gateway-name.ts';
import type { Stack } from '../../../src/dev/stack.ts';
import type { ExternalRig } from '../../gateways/rigs/rig.ts';
import { audited } from '../keys/audit.ts';
import type { CaseReport } from '../keys/case.ts';
import { crash, crashPoints } from '../keys/crash.ts';
import { JOB, type Scenario } from '../keys/scenarios.ts';
import type { OpenLane } from '../lane.ts';
import { casesOf } from './cases.ts';
import { startGatewayRig } from './rigs.ts';
import { runGatewayTable } from './table.ts';

/** What was found of the keys that one gateway mints. */
export interface GatewayProof {
  cases: number;
  orphans: number;
  doubles: number;
  sweptLive: number;
  /** From the moment from which a key should be refused to the one at which it was. */
  secondsToRevoked: { p50: number; p99: number; max: number };
  complaints: string[];
}

export interface GatewayParts {
  open: OpenLane;
  /** Starts a stack beside the lanes. */
  onStack: (environment: NodeJS.ProcessEnv, work: (stack: Stack) => Promise<void>) => Promise<void>;
  take: (kind: string, reports: CaseReport[]) => void;
  quick: boolean;
}

/** The sweep looks all the time, and is quick to act. */
const SWEEPS = { VALETKEY_SWEEP_INTERVAL: '3s', VALETKEY_INVENTORY_INTERVAL: '6s', VALETKEY_SWEEP_GRACE: '2s' };
/** Sweeps are started by the table itself. */
const NO_SWEEPS = { VALETKEY_SWEEP_GRACE: '1s', VALETKEY_SWEEP_INTERVAL: '1h', VALETKEY_INVENTORY_INTERVAL: '1h' };
/** Of the points, with `quick`. */
const EVERY = 4;

/** Runs the table of faults and the crashes of the worker for one gateway, which is real or faked as a whole. */
export async function proveGateway(name: ExternalGatewayName, { open, onStack, take, quick }: GatewayParts): Promise<GatewayProof> {
  const rig = await startGatewayRig(name);
  const reports: CaseReport[] = [];
  const add = (kind: string, more: CaseReport[]): void => {
    reports.push(...more);
    take(`${name}: ${kind}`, more);
  };
  try {
    await onStack({ ...rig.environment, ...NO_SWEEPS }, async (stack) => {
      add('faults', await runGatewayTable(stack, rig, casesOf(rig, { isShort: quick })));
    });
    const lane = await open(`gateway_${name}`, { statements: true, environment: { ...rig.environment, ...SWEEPS } });
    const audit = await audited(lane, rig);
    try {
      const scenario = scenarioOf(rig);
      const points = (await crashPoints(audit, lane, scenario)).filter(({ effect }) => effect.startsWith(`${name} `));
      add(
        'crashes',
        await crash(
          audit,
          lane,
          scenario,
          points.filter((_, index) => !quick || index % EVERY === 0),
        ),
      );
    } finally {
      await audit.close();
      await lane.workers.stop();
    }
  } finally {
    await rig.close();
  }
  return proofOf(reports);
}

function scenarioOf({ gateway, models }: ExternalRig): Scenario {
  const [model = ''] = models.openai;
  const spec = { ...JOB, model, budgetUsd: 5, credential: { strategy: 'gateway', gateway } as const };
  return { name: gateway, cause: 'clean', spec, drive: () => Promise.resolve(null) };
}

function proofOf(reports: readonly CaseReport[]): GatewayProof {
  const sum = (of: (report: CaseReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  const seconds = reports.flatMap(({ secondsToDead }) => secondsToDead ?? []);
  return {
    cases: reports.length,
    orphans: sum(({ orphans }) => orphans),
    doubles: sum(({ doubles }) => doubles),
    sweptLive: sum(({ sweptLive }) => sweptLive),
    secondsToRevoked: { p50: percentile(seconds, 50), p99: percentile(seconds, 99), max: Math.max(0, ...seconds) },
    complaints: reports.flatMap(({ complaints }) => complaints),
  };
}
