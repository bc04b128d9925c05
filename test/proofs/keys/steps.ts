import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { slowly } from '../../helpers/slow-turn.ts';
import { until, type Audited } from './audit.ts';
import { GATED, type Gated, type Gates } from './gates.ts';
import { JOB, speaks } from './scenarios.ts';

/** Where a job can be when something happens. */
export const STEPS = ['mint', 'sandbox', 'bind', 'turn', 'waiting', 'asked', 'end', 'settle'] as const;
export type Step = (typeof STEPS)[number];

const ARRIVE_MS = 120_000;

/** A job that comes to a step and, where no gate holds it there, goes on by itself after so many seconds. */
export function jobFor(step: Step, seconds: number): JobSpecInput {
  const wait = `${seconds}s`;
  const change: Partial<Record<Step, Partial<JobSpecInput>>> = {
    turn: { prompts: [slowly(seconds)] },
    waiting: { keepOpen: wait },
    asked: { prompts: ['!ask may I?'], permissions: 'ask', permissionTimeout: wait },
  };
  return { ...JOB, ...change[step] };
}

/** A job that stands in a step. */
export interface Standing {
  jobId: string;
  complaints: string[];
  goOn: () => void;
}

/** Submits a job and waits until it stands in a step. */
export async function standIn(audit: Audited, gates: Gates, step: Step, jobId: string, spec: JobSpecInput): Promise<Standing> {
  const gate = isGated(step) ? gates.hold(step, jobId) : null;
  await audit.stack.client.jobs.submit(spec, { id: jobId });
  const arrived = gate === null ? arrives(audit, step, jobId) : until(async () => gate.reached.then(() => true as const), ARRIVE_MS);
  const complaints = (await arrived) === true ? [] : [`${jobId}: the job did not come to ${step}`];
  return { jobId, complaints, goOn: () => gate?.open() };
}

async function arrives(audit: Audited, step: Step, jobId: string): Promise<true | null> {
  const { client } = audit.stack;
  switch (step) {
    case 'turn':
      await speaks(audit, jobId);
      return true;
    case 'waiting':
      return until(async () => ((await client.jobs.status(jobId)).phase === 'waiting' ? true : null), ARRIVE_MS);
    case 'asked':
      return until(async () => ((await client.jobs.status(jobId)).question !== null ? true : null), ARRIVE_MS);
    default:
      throw new Error(`a gate tells who comes to ${step}`);
  }
}

function isGated(step: Step): step is Gated {
  return (GATED as readonly string[]).includes(step);
}
