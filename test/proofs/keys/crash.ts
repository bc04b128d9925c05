import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { SCHEDULED } from '../../../src/contract/schedules.ts';
import type { SweepInput } from '../../../src/contract/sweep.ts';
import type { Lane } from '../lane.ts';
import { planFiles, readArrived, readRecorded, type Plan, type Recorded } from '../plan.ts';
import { inBatches, pointsOf, type PlannedPoint } from '../points.ts';
import { say } from '../say.ts';
import { auditJob, until, type Audited } from './audit.ts';
import type { CaseReport } from './case.ts';
import { JOB, type Scenario } from './scenarios.ts';

/** How long the jobs of a batch may take to come to their points. */
const ARRIVE_MS = 60_000;
/** Jobs that nobody disturbs: an effect that not all of them had is the machine's, not the job's. */
const UNDISTURBED = 3;
/** One that stands at a statement holds one of the worker's ten connections. */
export const AT_ONCE = 8;
/** What a step does with a key or a sandbox, and what it puts on record. What goes on inside a turn is proven elsewhere. */
const OF_KEYS =
  /^(sql |([a-z]+ )?(mint|extend|disable|probe|spend|delete)#|start|stop|bindKey)[^>]*$|^([a-z]+ )?(mint|extend|disable|probe|spend|delete)#\d+ > sql /;

/** The points of a scenario's job at which a worker can die: before and after each effect, and right after its caller knows. */
export async function crashPoints(audit: Audited, lane: Lane, scenario: Scenario): Promise<PlannedPoint[]> {
  const runs: Recorded[][] = [];
  for (let run = 1; run <= UNDISTURBED; run += 1) {
    const batch = `${scenario.name}-undisturbed${run}`;
    await writePlan(lane, batch, { record: true });
    const report = await runJob(audit, scenario, `${batch}-1`, null);
    if (report.orphans + report.complaints.length > 0) throw new Error(`a job that nobody disturbs is wrong: ${JSON.stringify(report)}`);
    runs.push(readRecorded(planFiles(lane.plans, batch).recorded).filter(({ effect }) => OF_KEYS.test(effect)));
  }
  const [first = [], ...others] = runs;
  const recorded = first.filter(({ effect }) => others.every((run) => run.some((one) => one.effect === effect)));
  return pointsOf(recorded, true).filter(({ phase, effect }) => phase !== 'during' && (phase !== 'later' || !effect.startsWith('sql')));
}

/**
 * A worker process is killed while each of some jobs stands at a point of its own; `again`: and the next one too, so many ms after it
 * polls.
 */
export async function crash(
  audit: Audited,
  lane: Lane,
  scenario: Scenario,
  points: readonly PlannedPoint[],
  again: (() => number) | null = null,
): Promise<CaseReport[]> {
  const reports: CaseReport[] = [];
  const missed = new Map<PlannedPoint, number>();
  const left = inBatches(points, AT_ONCE);
  for (const [index, batch] of left.entries()) {
    const name = `${scenario.name}${again === null ? '' : '-twice'}-${index + 1}`;
    await writePlan(lane, name, { jobs: Object.fromEntries(batch.map((point, job) => [`${name}-${job + 1}`, point])) });
    await lane.workers.ready();
    const died = lane.workers.ended().then(() => Date.now());
    const jobs = batch.map((_, job) => ({ jobId: `${name}-${job + 1}`, driven: submit(audit, scenario, `${name}-${job + 1}`) }));
    const diedMs = await Promise.race([died, sleep(ARRIVE_MS).then(() => Date.now())]);
    const hasFired = existsSync(planFiles(lane.plans, name).fired);
    if (!hasFired) {
      await writeFile(planFiles(lane.plans, name).fired, '');
      lane.workers.kill('SIGKILL');
    }
    if (again !== null) {
      await lane.workers.ready();
      await sleep(again());
      lane.workers.kill('SIGKILL');
    }
    const audits = jobs.map(async ({ jobId, driven }, job) => {
      const where = `${jobId} (${batch[job]?.phase ?? ''} ${batch[job]?.effect ?? ''})`;
      const fromMs = Math.max(diedMs, (await driven) ?? 0);
      return auditJob(audit, jobId, { name: where, cause: 'worker_killed', fromMs });
    });
    const done = await Promise.all(audits);
    if (!hasFired) {
      // How often some effects occur is the machine's to say: those that came are tried without those that did not, and these once more.
      const arrived = readArrived(planFiles(lane.plans, name).arrived);
      const came = (point: PlannedPoint): boolean => arrived.has(`${name}-${batch.indexOf(point) + 1}`);
      for (const point of batch.filter((one) => !came(one))) missed.set(point, (missed.get(point) ?? 0) + 1);
      const retried = [batch.filter(came), batch.filter((point) => missed.get(point) === 1 && !came(point))];
      left.push(...retried.filter(({ length }) => length > 0));
    }
    reports.push(...done);
    say(`${name}: ${done.length} cases`);
    for (const complaint of done.flatMap(({ complaints }) => complaints)) say(`  ${complaint}`);
  }
  const absent = [...missed].filter(([, times]) => times > 1).map(([{ phase, effect }]) => `${phase} ${effect}`);
  return absent.length === 0 ? reports : [...reports, notKilledAt(scenario, absent)];
}

/** Only what occurred in each of the undisturbed jobs was planned, so all of it has to occur. */
function notKilledAt({ name }: Scenario, points: readonly string[]): CaseReport {
  const complaints = [`${name}: the worker was not killed ${points.join('; ')}`];
  return { name, cause: 'worker_killed', orphans: 0, doubles: 0, sweptLive: 0, secondsToDead: null, complaints };
}

async function runJob(audit: Audited, scenario: Scenario, jobId: string, fromMs: number | null): Promise<CaseReport> {
  const drivenMs = await submit(audit, scenario, jobId);
  return auditJob(audit, jobId, { name: jobId, cause: scenario.cause, fromMs: fromMs ?? drivenMs });
}

async function submit(audit: Audited, scenario: Scenario, jobId: string): Promise<number | null> {
  await audit.stack.client.jobs.submit(scenario.spec, { id: jobId });
  return scenario.drive(audit, jobId);
}

/** The same for the worker that sweeps up after a job which was terminated while no step of it ran: one case after the other. */
export async function crashSweeps(audit: Audited, lane: Lane, everyNth: number): Promise<CaseReport[]> {
  await writePlan(lane, 'sweep-undisturbed', { record: true });
  const undisturbed = await terminated(audit, 'swept-undisturbed');
  await sweepAs(audit, 'sweep-undisturbed-1');
  await auditJob(audit, undisturbed, { name: undisturbed, cause: 'terminated', fromMs: null });
  const recorded = readRecorded(planFiles(lane.plans, 'sweep-undisturbed').recorded).filter(({ effect }) => OF_KEYS.test(effect));
  const points = pointsOf(recorded, true).filter(({ phase }, index) => (phase === 'before' || phase === 'after') && index % everyNth === 0);
  const reports: CaseReport[] = [];
  for (const [index, point] of points.entries()) {
    const name = `sweep-${index + 1}`;
    await writePlan(lane, name, { jobs: { [`${name}-1`]: point } });
    await lane.workers.ready();
    const jobId = await terminated(audit, `swept-${index + 1}`);
    const died = lane.workers.ended();
    const sweeping = sweepAs(audit, `${name}-1`).catch(() => undefined);
    await Promise.race([died, sweeping, sleep(ARRIVE_MS)]);
    const fromMs = Date.now();
    await lane.workers.ready();
    const over = new AbortController();
    const sweepOn = async (): Promise<void> => {
      for (let round = 2; !over.signal.aborted; round += 1) await sweepAs(audit, `${name}-again-${round}`).catch(() => undefined);
    };
    const sweepingOn = sweepOn();
    reports.push(await auditJob(audit, jobId, { name: `${jobId} (${point.phase} ${point.effect})`, cause: 'worker_killed', fromMs }));
    over.abort();
    await sweepingOn;
    say(`${name}: ${reports.at(-1)?.complaints.join('; ') ?? ''}`);
  }
  // Ended as an orphan, which it was.
  return reports.map((report) => ({ ...report, sweptLive: 0 }));
}

/** A job that is terminated while it waits for a prompt. */
async function terminated({ stack: { client }, temporal }: Audited, jobId: string): Promise<string> {
  await client.jobs.submit({ ...JOB, keepOpen: '5m' }, { id: jobId });
  await until(async () => ((await client.jobs.status(jobId)).phase === 'waiting' ? true : null), ARRIVE_MS);
  await temporal.workflow.getHandle(jobId).terminate();
  return jobId;
}

async function sweepAs({ temporal, stack: { config } }: Audited, workflowId: string): Promise<void> {
  const input: SweepInput = { dryRun: false };
  await temporal.workflow.execute(SCHEDULED.sweep, { taskQueue: config.taskQueue, workflowId, args: [input], workflowRunTimeout: '20s' });
}

async function writePlan({ plans }: Lane, batch: string, plan: Plan): Promise<void> {
  await writeFile(planFiles(plans, batch).plan, JSON.stringify(plan));
}
