import { ROTATE_UPDATE } from '../../../src/contract/requests.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { slowly } from '../../helpers/slow-turn.ts';
import type { Audited } from './audit.ts';
import type { Cause } from './case.ts';

export const JOB: JobSpecInput = {
  tenant: 'prove',
  agent: 'mock',
  model: 'gpt-5.1-codex',
  budgetUsd: 1,
  deadline: '5m',
  prompts: ['say hello'],
};

/** A job, and what is done to it; `drive` begins when the job was submitted, and says from when on its keys should be dead. */
export interface Scenario {
  name: string;
  cause: Cause;
  spec: JobSpecInput;
  drive(audit: Audited, jobId: string): Promise<number | null>;
}

/** Each has steps of its own for a key: minted and ended, changed in mid-turn, ended in mid-turn. */
export const SCENARIOS: readonly Scenario[] = [
  { name: 'plain', cause: 'clean', spec: JOB, drive: () => Promise.resolve(null) },
  {
    name: 'rotated',
    cause: 'clean',
    // The agent takes the new key up with its second turn, which is long enough for the end of the first key.
    spec: { ...JOB, prompts: [slowly(2), slowly(3)] },
    drive: async (audit, jobId) => {
      await speaks(audit, jobId);
      // Whether it is taken up in time hangs on the worker, which may be dead by then.
      await audit.temporal.workflow
        .getHandle(jobId)
        .startUpdate(ROTATE_UPDATE, { waitForStage: 'ACCEPTED' })
        .catch(() => undefined);
      return null;
    },
  },
  {
    name: 'cancelled',
    cause: 'cancelled',
    spec: { ...JOB, prompts: [slowly(60)] },
    drive: async (audit, jobId) => {
      await speaks(audit, jobId);
      await audit.stack.client.jobs.cancel(jobId);
      return Date.now();
    },
  },
];

/** Resolves when the agent of a job has said something. */
export async function speaks({ stack: { client } }: Audited, jobId: string): Promise<void> {
  for await (const { type } of client.jobs.events(jobId)) if (type === 'message') return;
}
