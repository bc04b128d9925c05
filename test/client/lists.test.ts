import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';

import type { KeyInfo, ValetkeyClient } from '../../src/index.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';

const stack = useStack();

const JOB = { agent: 'mock' as const, prompts: ['!say done'] };

async function ended(client: ValetkeyClient, spec: Parameters<typeof jobSpec>[0]): Promise<string> {
  const { jobId } = await client.jobs.submit(jobSpec({ ...JOB, ...spec }));
  await client.jobs.result(jobId);
  return jobId;
}

test('pages of jobs and of keys hold each row once, and a cursor is for its own list only', async () => {
  const { client } = stack();
  const ids = await Promise.all(['one', 'two', 'three'].map(async (id) => ended(client, { tenant: 'paged', labels: { id } })));
  const tenant = 'paged';
  await expect.poll(async () => (await client.jobs.list({ tenant })).items.length).toBe(3);
  const jobs: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await client.jobs.list({ tenant, limit: 2, cursor });
    jobs.push(...page.items.map(({ jobId }) => jobId));
    cursor = page.nextCursor;
  }
  expect(jobs.toSorted()).toEqual(ids.toSorted());

  const keys: KeyInfo[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await client.keys.list({ tenant, limit: 1, cursor });
    keys.push(...page.items);
    cursor = page.nextCursor;
  }
  expect(keys).toEqual((await client.keys.list({ tenant })).items);
  expect(keys.map(({ jobId }) => jobId).toSorted()).toEqual(ids.toSorted());

  const { nextCursor } = await client.keys.list({ tenant, limit: 1 });
  expect(nextCursor).not.toBeNull();
  await expect(client.keys.list({ limit: 1, cursor: nextCursor })).rejects.toMatchObject({ code: 'invalid_spec' });
  await expect(client.jobs.list({ tenant, limit: 1, cursor: nextCursor })).rejects.toMatchObject({ code: 'invalid_spec' });
});

test('a job is found by its labels, all of them, and tells them', async () => {
  const { client } = stack();
  const labels = { team: 'checkout', 'env/kind': 'ci:nightly' };
  const jobId = await ended(client, { labels });
  const other = await ended(client, { labels: { team: 'checkout' } });
  await expect.poll(async () => (await client.jobs.list({ labels: { team: 'checkout' } })).items.length).toBe(2);
  expect((await client.jobs.list({ labels })).items).toMatchObject([{ jobId, labels }]);
  expect((await client.jobs.list({ labels: { team: 'nobody' } })).items).toEqual([]);
  expect((await client.jobs.status(jobId)).labels).toEqual(labels);
  expect((await client.jobs.status(other)).labels).toEqual({ team: 'checkout' });
});

test('for a client of one tenant the jobs and keys of others do not exist', async () => {
  const { client } = stack();
  const mine = await ended(client, { tenant: 'mine' });
  const theirs = await ended(client, { tenant: 'theirs' });
  const { jobId: running } = await client.jobs.submit(jobSpec({ ...JOB, tenant: 'theirs', prompts: [], keepOpen: '60s' }));
  const { jobs, keys } = client.forTenant('mine');
  const [key] = (await client.keys.list({ jobId: theirs })).items;

  for (const jobId of [theirs, running]) {
    for (const call of [
      () => jobs.status(jobId),
      () => jobs.result(jobId),
      () => jobs.events(jobId).next(),
      () => jobs.events(jobId, { follow: false }).next(),
      () => jobs.cancel(jobId),
      () => jobs.prompt(jobId, 'hello'),
      () => jobs.interrupt(jobId),
      () => jobs.answer(jobId, 'question', 'allow'),
      () => jobs.artifacts(jobId),
      () => jobs.artifact(jobId, 'message'),
      () => keys.rotate(jobId),
      () => keys.revoke({ jobId }),
      () => keys.revoke({ ref: key?.ref ?? '' }),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'job_not_found' });
    expect((await keys.list({ jobId })).items).toEqual([]);
  }
  for (const call of [
    () => jobs.list({ tenant: 'theirs' }),
    () => keys.list({ tenant: 'theirs' }),
    () => keys.revoke({ tenant: 'theirs' }),
    () => jobs.submit(jobSpec({ ...JOB, tenant: 'theirs' })),
  ])
    await expect(call()).rejects.toMatchObject({ code: 'invalid_spec', message: 'tenant: must be mine: it is the tenant of this client' });

  await expect.poll(async () => (await jobs.list()).items.map(({ jobId }) => jobId)).toEqual([mine]);
  expect((await keys.list()).items).toMatchObject([{ jobId: mine }]);
  const { tenant: _, ...spec } = jobSpec(JOB);
  const { jobId } = await jobs.submit(spec);
  expect(await jobs.result(jobId)).toMatchObject({ outcome: 'completed', tenant: 'mine' });
  expect(await client.jobs.status(running)).toMatchObject({ state: 'running', keyState: 'active' });
  await client.jobs.cancel(running);
  await client.jobs.result(running);
});

test('a tenant that never had a key is blocked with a warning that names the one that is meant', async () => {
  const { client } = stack();
  await ended(client, { tenant: 'umbrella' });
  expect((await client.keys.revoke({ tenant: 'umbrela' })).unknownTenant).toEqual({ nearest: 'umbrella' });
  expect((await client.keys.revoke({ tenant: 'somebody-quite-different' })).unknownTenant).toEqual({ nearest: null });
  expect((await client.keys.revoke({ tenant: 'umbrella' })).unknownTenant).toBeNull();
  const blocked = ['somebody-quite-different', 'umbrela', 'umbrella'];
  expect((await client.tenants.listBlocked()).map(({ tenant }) => tenant)).toEqual(blocked);
  for (const tenant of blocked) expect(await client.tenants.unblock(tenant)).toBe(true);
  expect(await client.tenants.listBlocked()).toEqual([]);
});

test('a workflow of another kind in the namespace is no job: it is neither shown nor cancelled', async ({ onTestFinished }) => {
  const { client, temporal, config } = stack();
  const connection = await Connection.connect({ address: temporal.address });
  onTestFinished(() => connection.close());
  const { workflow } = new Client({ connection, namespace: temporal.namespace });
  const taskQueue = `${config.taskQueue}-of-others`;
  const handle = await workflow.start('payInvoice', { taskQueue, workflowId: `invoice-${Date.now()}`, args: [] });
  onTestFinished(async () => void (await handle.terminate()));
  const id = handle.workflowId;
  const { jobs } = client;
  for (const call of [() => jobs.cancel(id), () => jobs.status(id), () => jobs.result(id), () => jobs.unattendedQueue(id)])
    await expect(call()).rejects.toMatchObject({ code: 'job_not_found' });
  const { events } = await handle.fetchHistory();
  expect(events?.filter((event) => event.workflowExecutionCancelRequestedEventAttributes != null)).toEqual([]);
});
