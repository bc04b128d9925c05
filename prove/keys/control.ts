import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { JobSpecInput } from '../../src/job/spec.ts';
import { slowly } from '../../test/slow-turn.ts';
import { auditJob, until, type Audited } from './audit.ts';
import type { CaseReport, Cause } from './case.ts';
import { GATED, type Gated, type Gates } from './gates.ts';
import { JOB, speaks } from './scenarios.ts';

export const STEPS = ['mint', 'sandbox', 'bind', 'turn', 'waiting', 'asked', 'end', 'settle'] as const;
export type Step = (typeof STEPS)[number];
export const EVENTS = ['cancel', 'terminate', 'reset', 'duplicate'] as const;
export type Event = (typeof EVENTS)[number];

const ARRIVE_MS = 60_000;
/** A job that waits goes on by itself after so long. */
const WAITS = '6s';

const SPECS: Partial<Record<Step, Partial<JobSpecInput>>> = {
  turn: { prompts: [slowly(4)] },
  waiting: { keepOpen: WAITS },
  asked: { prompts: ['!ask may I?'], permissions: 'ask', permissionTimeout: WAITS },
};

const CAUSES: Record<Event, Cause> = { cancel: 'cancelled', terminate: 'terminated', reset: 'reset', duplicate: 'clean' };

/** Something happens to a job in one of its steps, in Temporal. */
export async function control(audit: Audited, gates: Gates, event: Event, step: Step): Promise<CaseReport> {
  const jobId = `${event}-in-${step}-${randomUUID().slice(0, 8)}`;
  const gate = isGated(step) ? gates.hold(step, jobId) : null;
  const spec = { ...JOB, ...SPECS[step] };
  await audit.stack.client.submit(spec, { id: jobId });
  const complaints: string[] = [];
  const arrived = gate === null ? arrives(audit, step, jobId) : until(async () => gate.reached.then(() => true as const), ARRIVE_MS);
  if ((await arrived) !== true) complaints.push(`${jobId}: the job did not come to ${step}`);
  await happens[event](audit, jobId, spec);
  const fromMs = Date.now();
  await sleep(300);
  gate?.open();
  const isOver = event === 'cancel' || event === 'terminate';
  const report = await auditJob(audit, jobId, { name: jobId, cause: CAUSES[event], fromMs: isOver ? fromMs : null });
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
  const { jobId } = await client.submit(JOB);
  await client.result(jobId);
  return jobId;
}

const happens: Record<Event, (audit: Audited, jobId: string, spec: JobSpecInput) => Promise<void>> = {
  cancel: async ({ stack: { client } }, jobId) => client.cancel(jobId),
  terminate: async ({ temporal }, jobId) => void (await temporal.workflow.getHandle(jobId).terminate()),
  reset: async (audit, jobId) => reset(audit, jobId, -1),
  duplicate: async ({ stack: { client } }, jobId, spec) => {
    const { created } = await client.submit(spec, { id: jobId });
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

async function arrives(audit: Audited, step: Step, jobId: string): Promise<true | null> {
  const { client } = audit.stack;
  switch (step) {
    case 'turn':
      await speaks(audit, jobId);
      return true;
    case 'waiting':
      return until(async () => ((await client.status(jobId)).phase === 'waiting' ? true : null), ARRIVE_MS);
    case 'asked':
      return until(async () => ((await client.status(jobId)).question !== null ? true : null), ARRIVE_MS);
    default:
      throw new Error(`a gate tells who comes to ${step}`);
  }
}

function isGated(step: Step): step is Gated {
  return (GATED as readonly string[]).includes(step);
}
