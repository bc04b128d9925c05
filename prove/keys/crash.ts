import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Lane } from '../lane.ts';
import { planFiles, readRecorded, type Plan } from '../plan.ts';
import { inBatches, pointsOf, type PlannedPoint } from '../points.ts';
import { say } from '../say.ts';
import { auditJob, type Audited } from './audit.ts';
import type { CaseReport } from './case.ts';
import type { Scenario } from './scenarios.ts';

/** How long the jobs of a batch may take to come to their points. */
const ARRIVE_MS = 60_000;
/** One that stands at a statement holds one of the worker's ten connections. */
const AT_ONCE = 8;
/** What a step does with a key or a sandbox, and what it puts on record. What goes on inside a turn is proven elsewhere. */
const OF_KEYS =
  /^(sql |mint|extend|disable|probe|spend|delete|start|stop|bindKey)[^>]*$|^(mint|extend|disable|probe|spend|delete)#\d+ > sql /;

/** The points of a scenario's job at which a worker can die: before and after each effect, and right after its caller knows. */
export async function crashPoints(audit: Audited, lane: Lane, scenario: Scenario): Promise<PlannedPoint[]> {
  const batch = `${scenario.name}-undisturbed`;
  await writePlan(lane, batch, { record: true });
  const report = await runJob(audit, scenario, `${batch}-1`, null);
  if (report.orphans + report.complaints.length > 0) throw new Error(`a job that nobody disturbs is wrong: ${JSON.stringify(report)}`);
  const recorded = readRecorded(planFiles(lane.plans, batch).recorded).filter(({ effect }) => OF_KEYS.test(effect));
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
  for (const [index, batch] of inBatches(points, AT_ONCE).entries()) {
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
      const report = await auditJob(audit, jobId, { name: where, cause: 'worker_killed', fromMs });
      return hasFired ? report : { ...report, complaints: [...report.complaints, `${where}: the worker was not killed there`] };
    });
    const done = await Promise.all(audits);
    reports.push(...done);
    say(`${name}: ${done.length} cases`);
    for (const complaint of done.flatMap(({ complaints }) => complaints)) say(`  ${complaint}`);
  }
  return reports;
}

async function runJob(audit: Audited, scenario: Scenario, jobId: string, fromMs: number | null): Promise<CaseReport> {
  const drivenMs = await submit(audit, scenario, jobId);
  return auditJob(audit, jobId, { name: jobId, cause: scenario.cause, fromMs: fromMs ?? drivenMs });
}

async function submit(audit: Audited, scenario: Scenario, jobId: string): Promise<number | null> {
  await audit.stack.client.submit(scenario.spec, { id: jobId });
  return scenario.drive(audit, jobId);
}

async function writePlan({ plans }: Lane, batch: string, plan: Plan): Promise<void> {
  await writeFile(planFiles(plans, batch).plan, JSON.stringify(plan));
}
