// No key outlives its job: where Temporal ends the job's workflow without its cleanup, the step that runs ends key and sandbox with
// its last cleanUp, and where none runs the sweep does. A reset looks the same to a step, and there the newer run keeps both.
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { SCHEDULED } from '../../../src/contract/schedules.ts';
import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import type { SweepInput, SweepReport } from '../../../src/contract/sweep.ts';
import type { Adapters } from '../../../src/worker/start.ts';
import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { sandboxRemains } from '../../helpers/sandbox-remains.ts';
import { inMidTurn, slowly, words } from '../../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

/** Jobs that Temporal does not know, as long as they are here. */
const unknown = new Set<string>();
const stack = useStack({ adapt: forgetWhereToldTo, environment: { VALETKEY_SWEEP_GRACE: '1s' } });
let temporal: Client;
beforeAll(async () => {
  const { address, namespace } = stack().temporal;
  temporal = new Client({ connection: await Connection.connect({ address }), namespace });
});
afterAll(() => temporal.connection.close());

function forgetWhereToldTo(adapters: Adapters): Adapters {
  const { jobs } = adapters;
  const describe = async (jobId: string) => (unknown.has(jobId) ? null : jobs.describe(jobId));
  return { ...adapters, jobs: { ...jobs, describe } };
}

async function sweep(dryRun = false): Promise<SweepReport> {
  const { config } = stack();
  const options = { taskQueue: config.taskQueue, workflowId: `sweep-${crypto.randomUUID()}` };
  return temporal.workflow.execute<(input: SweepInput) => Promise<SweepReport>>(SCHEDULED.sweep, {
    ...options,
    args: [{ dryRun }],
  });
}

async function submitWaiting(change: Partial<JobSpecInput> = {}): Promise<string> {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'], keepOpen: '60s', ...change }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  return jobId;
}

async function statusOfKeys(jobId: string): Promise<number[]> {
  const { keys } = await stack().client.jobs.status(jobId);
  return Promise.all(keys.map(async ({ ref }) => statusWith(stack(), secretOf(stack(), ref))));
}

test('a job that is terminated in mid-turn leaves no key and no sandbox', async () => {
  const jobId = await inMidTurn(stack(), 60, { agent: 'mock' });
  await temporal.workflow.getHandle(jobId).terminate();
  await expect.poll(() => statusOfKeys(jobId)).toEqual([401]);
  await expect.poll(() => sandboxRemains(stack(), jobId)).toEqual([]);
  // Its spend is settled first: the gateway reads on for a moment, for what the cut request has cost.
  await expect.poll(async () => (await stack().client.jobs.status(jobId)).keyState).toBe('revoked');
});

test('a job that is terminated while no step runs is found by the sweep; a dry run says so and ends nothing', async () => {
  const jobId = await submitWaiting();
  await temporal.workflow.getHandle(jobId).terminate();
  const would = { kind: 'closed_job', jobId, action: 'would_end', reason: 'job_closed' };
  await expect.poll(async () => (await sweep(true)).findings).toContainEqual(expect.objectContaining(would));
  expect(await statusOfKeys(jobId)).toEqual([200]);
  expect((await sweep()).findings).toContainEqual(expect.objectContaining({ kind: 'closed_job', jobId, action: 'ended' }));
  expect(await statusOfKeys(jobId)).toEqual([401]);
  // Its host ends it, or the sweep.
  await expect.poll(async () => sandboxRemains(stack(), jobId)).toEqual([]);
});

test('the sweep leaves the key and the sandbox of a job that runs', async () => {
  const jobId = await submitWaiting();
  for (let round = 0; round < 3; round += 1) expect((await sweep()).findings.filter((finding) => finding.jobId === jobId)).toEqual([]);
  expect(await statusOfKeys(jobId)).toEqual([200]);
  await stack().client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
});

test('a Temporal that does not know a job for one look costs it neither key nor sandbox', async () => {
  const jobId = await submitWaiting();
  await expect.poll(async () => Date.now() - Date.parse((await stack().client.jobs.status(jobId)).startedAt)).toBeGreaterThan(1500);
  for (let round = 0; round < 2; round += 1) {
    unknown.add(jobId);
    const found = (await sweep()).findings.filter((finding) => finding.jobId === jobId);
    expect(new Set(found.map(({ kind, action, reason }) => `${kind} ${action}: ${reason}`))).toEqual(
      new Set(['ledger_key waits: first_sighting', 'sandbox waits: first_sighting']),
    );
    unknown.delete(jobId);
    expect((await sweep()).findings.filter((finding) => finding.jobId === jobId)).toEqual([]);
  }
  expect(await statusOfKeys(jobId)).toEqual([200]);
  await stack().client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
});

test('a job that is reset in mid-turn goes on with the key and the turn that it had', async () => {
  const { client } = stack();
  const jobId = await inMidTurn(stack(), 6, { agent: 'mock', prompts: [slowly(6)] });
  await reset(jobId, 'last');
  const { turns, keys } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(turns.map(({ message }) => message.trim())).toEqual([words(6)]);
  expect(keys).toHaveLength(1);
  expect((await client.jobs.status(jobId)).keyState).toBe('revoked');
});

test('a job that is reset after its end mints its next key, and that one dies too', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['say hello'] }));
  await client.jobs.result(jobId);
  await reset(jobId, 'first');
  const { keys } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(keys.map(({ ref }) => ref.split('/').at(-1))).toEqual(['1', '2']);
  expect(await statusOfKeys(jobId)).toEqual([401, 401]);
});

/** To the end of the first or the last workflow task that its history has by now. */
async function reset(jobId: string, where: 'first' | 'last'): Promise<void> {
  const handle = temporal.workflow.getHandle(jobId);
  const { runId } = await handle.describe();
  const { events } = await handle.fetchHistory();
  const tasks = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes != null);
  const task = where === 'first' ? tasks.at(0) : tasks.at(-1);
  await temporal.workflowService.resetWorkflowExecution({
    namespace: stack().temporal.namespace,
    workflowExecution: { workflowId: jobId, runId },
    workflowTaskFinishEventId: task?.eventId ?? null,
    reason: 'test',
    requestId: crypto.randomUUID(),
  });
}
