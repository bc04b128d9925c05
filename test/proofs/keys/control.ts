import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { auditJob, type Audited } from './audit.ts';
import type { CaseReport, Cause } from './case.ts';
import type { Gates } from './gates.ts';
import { JOB } from './scenarios.ts';
import { jobFor, standIn, type Step } from './steps.ts';

export const EVENTS = ['cancel', 'terminate', 'reset', 'deadline', 'duplicate'] as const;
export type Event = (typeof EVENTS)[number];

/** Long enough for each job to come to its step. */
const DEADLINE_S = 20;
const CAUSES: Record<Event, Cause> = {
  cancel: 'cancelled',
  terminate: 'terminated',
  reset: 'reset',
  deadline: 'deadline',
  duplicate: 'clean',
};
/** These end a job. */
const ENDS: readonly Event[] = ['cancel', 'terminate', 'deadline'];

/** Something happens to a job in one of its steps, in Temporal. */
export async function control(audit: Audited, gates: Gates, event: Event, step: Step): Promise<CaseReport> {
  const spec = event === 'deadline' ? { ...jobFor(step, 2 * DEADLINE_S), deadline: `${DEADLINE_S}s` } : jobFor(step, 6);
  const { jobId, complaints, goOn } = await standIn(audit, gates, step, `${event}-in-${step}-${randomUUID().slice(0, 8)}`, spec);
  await happens[event](audit, jobId, spec);
  const fromMs = Date.now();
  await sleep(300);
  goOn();
  const report = await auditJob(audit, jobId, { name: jobId, cause: CAUSES[event], fromMs: ENDS.includes(event) ? fromMs : null });
  return { ...report, complaints: [...report.complaints, ...complaints] };
}

/** A job that has ended is reset to each point of its history, once for each: the run that goes on then ends, too. */
export async function resetEnded(audit: Audited, everyNth = 1): Promise<CaseReport[]> {
  const probe = await ended(audit);
  const points = (await workflowTasks(audit, probe)).length;
  const chosen = Array.from({ length: points }, (_, index) => index).filter((index) => index % everyNth === 0);
  return Promise.all(
    chosen.map(async (index) => {
      const jobId = await ended(audit);
      await reset(audit, jobId, index);
      return auditJob(audit, jobId, { name: `${jobId} reset to its workflow task ${index + 1}`, cause: 'reset', fromMs: null });
    }),
  );
}

async function ended({ stack: { client } }: Audited): Promise<string> {
  const { jobId } = await client.jobs.submit(JOB);
  await client.jobs.result(jobId);
  return jobId;
}

const happens: Record<Event, (audit: Audited, jobId: string, spec: JobSpecInput) => Promise<void>> = {
  cancel: async ({ stack: { client } }, jobId) => void (await client.jobs.cancel(jobId)),
  terminate: async ({ temporal }, jobId) => void (await temporal.workflow.getHandle(jobId).terminate()),
  reset: async (audit, jobId) => reset(audit, jobId, -1),
  deadline: async ({ temporal }, jobId) => {
    const { startTime } = await temporal.workflow.getHandle(jobId).describe();
    await sleep(Math.max(0, startTime.getTime() + DEADLINE_S * 1000 - Date.now()));
  },
  duplicate: async ({ stack: { client } }, jobId, spec) => {
    const { created } = await client.jobs.submit(spec, { id: jobId });
    if (created) throw new Error(`${jobId} was started twice`);
  },
};

/** `index`: of the workflow tasks that its history has by now; from the end where it is negative. */
async function reset(audit: Audited, jobId: string, index: number): Promise<void> {
  const { temporal, stack } = audit;
  const { runId } = await temporal.workflow.getHandle(jobId).describe();
  const tasks = await workflowTasks(audit, jobId);
  // How many there are differs by which of two steps ended first.
  const eventId = tasks.at(Math.min(index, tasks.length - 1));
  await temporal.workflowService.resetWorkflowExecution({
    namespace: stack.temporal.namespace,
    workflowExecution: { workflowId: jobId, runId },
    workflowTaskFinishEventId: eventId ?? null,
    reason: 'to see what becomes of its keys',
    requestId: randomUUID(),
  });
}

async function workflowTasks({ temporal }: Audited, jobId: string) {
  const { events } = await temporal.workflow.getHandle(jobId).fetchHistory();
  return (events ?? []).flatMap((event) => (event.workflowTaskCompletedEventAttributes == null ? [] : [event.eventId]));
}
