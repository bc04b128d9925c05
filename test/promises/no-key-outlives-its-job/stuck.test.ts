// No key outlives its job unseen: a job whose key cannot be ended waits for that, and Temporal finds it.
import { Client, Connection } from '@temporalio/client';
import { searchAttributePayloadConverter } from '@temporalio/common/lib/converter/payload-search-attributes.js';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { ValetkeyError } from '../../../src/contract/errors.ts';
import { searchAttributes } from '../../../src/contract/search-attributes.ts';
import { expectEnded } from '../../helpers/ended.ts';
import { before } from '../../helpers/gate.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';

/** How many attempts at the end of a job's key still fail. */
const failures = new Map<string, number>();
const fail = (jobId: string): Promise<void> => {
  const left = failures.get(jobId) ?? 0;
  failures.set(jobId, left - 1);
  return left > 0 ? Promise.reject(new ValetkeyError('gateway_unreachable', 'the gateway does not answer')) : Promise.resolve();
};
const stack = useStack({
  adapt: (adapters) => ({ ...adapters, gateways: { builtin: before(adapters.gateways.builtin, 'disable', fail) } }),
});
let temporal: Client;
beforeAll(async () => {
  const { address, namespace } = stack().temporal;
  temporal = new Client({ connection: await Connection.connect({ address }), namespace });
});
afterAll(() => temporal.connection.close());

test('a key that cannot be ended is stuck in Temporal, too, until it is dead', async () => {
  const jobId = await submit(Infinity);
  await expect.poll(stuckJobs).toContain(jobId);
  expect(await stack().client.jobs.status(jobId)).toMatchObject({ state: 'running', phase: 'ending', keyState: 'stuck' });
  failures.set(jobId, 0);
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(await statesOf(jobId)).toEqual(['disabled', 'stuck', 'revoked']);
});

test.each([
  [0, ['revoked']],
  [1, ['disabled', 'revoked']],
])('after %i attempts that fail Temporal has had %j', async (attempts, states) => {
  const jobId = await submit(attempts);
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(await statesOf(jobId)).toEqual(states);
});

async function stuckJobs(): Promise<string[]> {
  const jobIds: string[] = [];
  const jobs = temporal.workflow.list({ query: `${searchAttributes.keyState.name} = 'stuck'` });
  for await (const { workflowId } of jobs) jobIds.push(workflowId);
  return jobIds;
}

async function submit(attempts: number): Promise<string> {
  const id = `stuck-${attempts}-${crypto.randomUUID()}`;
  failures.set(id, attempts);
  await stack().client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say done'] }), { id });
  return id;
}

/** What the job has set since its start. */
async function statesOf(jobId: string): Promise<unknown[]> {
  const { events } = await temporal.workflow.getHandle(jobId).fetchHistory();
  return (events ?? []).flatMap(({ upsertWorkflowSearchAttributesEventAttributes: set }) => {
    const payload = set?.searchAttributes?.indexedFields?.[searchAttributes.keyState.name];
    return payload == null ? [] : [searchAttributePayloadConverter.fromPayload(payload)].flat();
  });
}
