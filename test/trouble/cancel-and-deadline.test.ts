import { describe, expect, test } from 'vitest';

import { withScript } from '../../src/dev/scripted-model/script.ts';
import type { Adapters } from '../../src/worker.ts';
import { expectEnded } from '../ended.ts';
import { before, Gate } from '../gate.ts';
import { jobSpec, useStack } from '../stack.ts';

/** A job is held in the phase that its tenant names. */
const gates = new Map<string, Gate>();
const stack = useStack({ adapt: holdWhereToldTo });

const hold = (phase: string) => async (): Promise<void> => gates.get(phase)?.pass();

function holdWhereToldTo(adapters: Adapters): Adapters {
  return {
    ...adapters,
    gateways: { builtin: before(before(adapters.gateways.builtin, 'mint', hold('mint')), 'disable', hold('end')) },
    sandboxes: { local: before(adapters.sandboxes.local, 'start', hold('sandbox')) },
    session: { ...adapters.session, bindKey: async (...parameters) => hold('bind')().then(() => adapters.session.bindKey(...parameters)) },
  };
}

function gateAt(phase: string): Gate {
  const gate = new Gate();
  gates.set(phase, gate);
  return gate;
}

const slow = withScript('Take your time.', [{ slow: { chunks: 600, everyMs: 100, text: 'word '.repeat(600) } }]);

describe('a cancel', () => {
  test('before anything was done ends the job', async () => {
    const { client } = stack();
    const { jobId } = await client.submit(jobSpec());
    await client.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  });

  test.each(['mint', 'sandbox', 'bind'])('in the step %s ends the job with nothing left', async (phase) => {
    const { client } = stack();
    const gate = gateAt(phase);
    const { jobId } = await client.submit(jobSpec({ prompts: [slow] }));
    await gate.reached;
    await client.cancel(jobId);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    gates.clear();
  });

  test('in mid-turn stops the agent and its request at the provider', async () => {
    const { client, model } = stack();
    const { jobId } = await client.submit(jobSpec({ prompts: [slow] }));
    for await (const { type } of client.events(jobId)) if (type === 'message') break;
    await client.cancel(jobId);
    const { usage } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(usage.usd).toBeGreaterThan(0);
    await expect.poll(() => model?.inFlight()).toBe(0);
  });

  test('while the job is ending comes too late: it has completed', async () => {
    const { client } = stack();
    const gate = gateAt('end');
    const { jobId } = await client.submit(jobSpec());
    await gate.reached;
    await client.cancel(jobId);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    gates.clear();
  });

  test('of an ended job changes nothing, and of an unknown one is told', async () => {
    const { client } = stack();
    const { jobId } = await client.submit(jobSpec());
    await client.result(jobId);
    await client.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    await expect(client.cancel('no-such-job')).rejects.toMatchObject({ code: 'job_not_found' });
  });
});

describe('the deadline', () => {
  test.each(['mint', 'sandbox', 'bind'])('in the step %s ends the job with nothing left', async (phase) => {
    const { client } = stack();
    const gate = gateAt(phase);
    const { jobId } = await client.submit(jobSpec({ prompts: [slow], deadline: '3s' }));
    await gate.reached;
    await expect.poll(async () => Date.parse(String((await client.status(jobId)).deadline)) < Date.now(), { timeout: 20_000 }).toBe(true);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'deadline_exceeded', code: 'deadline_exceeded' });
    gates.clear();
  });

  test('in mid-turn ends the job with what the turn cost until then', async () => {
    const { client } = stack();
    const { jobId } = await client.submit(jobSpec({ prompts: [slow], deadline: '8s' }));
    const { usage } = await expectEnded(stack(), jobId, { outcome: 'deadline_exceeded', code: 'deadline_exceeded' });
    expect(usage.usd).toBeGreaterThan(0);
  });

  test('that passes while the job is ending changes nothing', async () => {
    const { client } = stack();
    const gate = gateAt('end');
    const { jobId } = await client.submit(jobSpec({ deadline: '20s' }));
    await gate.reached;
    const deadline = Date.parse(String((await client.status(jobId)).deadline));
    await expect.poll(() => Date.now() > deadline, { timeout: 25_000 }).toBe(true);
    gate.open();
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    gates.clear();
  });
});
