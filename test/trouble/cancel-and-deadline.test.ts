import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test, vi } from 'vitest';

import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import type { Adapters } from '../../src/worker/start.ts';
import { expectEnded } from '../helpers/ended.ts';
import { before, Gate } from '../helpers/gate.ts';
import { inMidTurn, slowly } from '../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { WAIT } from '../helpers/wait.ts';

type Step = 'mint' | 'sandbox' | 'bind' | 'end';
/** Each holds one job before one step. */
const gates = new Map<string, Gate>();
const stack = useStack({ adapt: holdWhereToldTo });

const hold = (step: Step) => async (jobId: string) => gates.get(`${step} ${jobId}`)?.pass();

function holdWhereToldTo(adapters: Adapters): Adapters {
  const { builtin } = adapters.gateways;
  return {
    ...adapters,
    gateways: { builtin: before(before(before(builtin, 'mint', hold('mint')), 'extend', hold('bind')), 'disable', hold('end')) },
    sandboxes: { local: before(adapters.sandboxes.local, 'start', hold('sandbox')) },
  };
}

/** Submits a job that stops before a step. Resolves when it is there. */
async function heldBefore(step: Step, change: Partial<JobSpecInput> = {}): Promise<{ jobId: string; gate: Gate }> {
  const id = `held-${randomUUID()}`;
  const gate = new Gate();
  gates.set(`${step} ${id}`, gate);
  const { jobId } = await stack().client.jobs.submit(jobSpec(change), { id });
  await gate.reached;
  return { jobId, gate };
}

const steps = ['mint', 'sandbox', 'bind'] as const;

describe.concurrent('a cancel', () => {
  test('before anything was done ends the job', async () => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec());
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  });

  test.each(steps)('in the step %s ends the job with nothing left', async (step) => {
    const { jobId, gate } = await heldBefore(step, { prompts: [slowly(60)] });
    await stack().client.jobs.cancel(jobId);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  });

  test('in mid-turn stops the agent and its request at the provider', async () => {
    const { client, model } = stack();
    const jobId = await inMidTurn(stack(), 60, { model: 'gpt-5.1' });
    await client.jobs.cancel(jobId);
    const { usage } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(usage.usd).toBeGreaterThan(0);
    const hungUp = () => model?.served.filter((request) => request.model === 'gpt-5.1').map((request) => request.hungUp);
    await vi.waitFor(() => expect(hungUp()).toEqual([true]), WAIT);
  });

  test('while the job is ending comes too late: it has completed', async () => {
    const { jobId, gate } = await heldBefore('end');
    await stack().client.jobs.cancel(jobId);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  });

  test('of an ended job changes nothing, and of an unknown one is told', async () => {
    const { client } = stack();
    const { jobId } = await client.jobs.submit(jobSpec());
    await client.jobs.result(jobId);
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    await expect(client.jobs.cancel('no-such-job')).rejects.toMatchObject({ code: 'job_not_found' });
  });
});

describe.concurrent('the deadline', () => {
  test.each(steps)('in the step %s ends the job with nothing left', async (step) => {
    const { jobId, gate } = await heldBefore(step, { prompts: [slowly(60)], deadline: '20s' });
    await deadlineOf(jobId);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'deadline_exceeded', code: 'deadline_exceeded' });
  });

  test('in mid-turn ends the job with what the turn cost until then', async () => {
    const jobId = await inMidTurn(stack(), 60, { deadline: '25s' });
    const { usage } = await expectEnded(stack(), jobId, { outcome: 'deadline_exceeded', code: 'deadline_exceeded' });
    expect(usage.usd).toBeGreaterThan(0);
  });

  test('that passes while the job is ending changes nothing', async () => {
    const { jobId, gate } = await heldBefore('end', { deadline: '30s' });
    await deadlineOf(jobId);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  });
});

/** Resolves once the deadline of a job has passed. */
async function deadlineOf(jobId: string): Promise<void> {
  const { deadline } = await stack().client.jobs.status(jobId);
  await sleep(Date.parse(String(deadline)) - Date.now() + 100);
}
