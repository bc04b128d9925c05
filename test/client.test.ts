import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';

import { freePort } from '../src/dev/process.ts';
import { withScript } from '../src/dev/scripted-model/script.ts';
import { createClient } from '../src/index.ts';
import { sandboxRemains } from './helpers/sandbox-remains.ts';
import { jobSpec, useStack } from './helpers/stack.ts';

const stack = useStack({ environment: { VALETKEY_HEARTBEAT_INTERVAL: '2s' } });

test('a job that is submitted twice under one id is one job', async () => {
  const { client } = stack();
  const spec = jobSpec({ workspace: { files: { a: '1', b: '2' } } });
  const [first, second] = await Promise.all([client.jobs.submit(spec, { id: 'twice' }), client.jobs.submit(spec, { id: 'twice' })]);
  expect([first.jobId, second.jobId]).toEqual(['twice', 'twice']);
  expect(first.created).not.toBe(second.created);
  await client.jobs.result('twice');
  const reordered = jobSpec({ workspace: { files: { b: '2', a: '1' } } });
  expect(await client.jobs.submit(reordered, { id: 'twice' })).toEqual({ jobId: 'twice', created: false });
});

test('another job under the same id is refused', async () => {
  const { client } = stack();
  await client.jobs.submit(jobSpec(), { id: 'taken' });
  await expect(client.jobs.submit(jobSpec({ prompts: ['something else'] }), { id: 'taken' })).rejects.toMatchObject({
    code: 'job_conflict',
  });
  await client.jobs.cancel('taken');
  await client.jobs.result('taken');
});

test('an unknown job is told as such by every question', async () => {
  const { client } = stack();
  const unknown = { code: 'job_not_found' };
  await expect(client.jobs.status('nobody')).rejects.toMatchObject(unknown);
  await expect(client.jobs.result('nobody')).rejects.toMatchObject(unknown);
  await expect(client.jobs.cancel('nobody')).rejects.toMatchObject(unknown);
  await expect(client.jobs.events('nobody').next()).rejects.toMatchObject(unknown);
  expect(await client.jobs.artifact('nobody', 'patch')).toBeNull();
});

test('a job that was terminated in Temporal is told as terminated, and its events end', async () => {
  const { client, temporal } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ prompts: [withScript('Hang.', [{ hang: true }])] }));
  for await (const { type } of client.jobs.events(jobId)) if (type === 'key.used') break;
  const connection = await Connection.connect({ address: temporal.address });
  await new Client({ connection, namespace: temporal.namespace }).workflow.getHandle(jobId).terminate('for the test');
  await connection.close();
  await expect(client.jobs.result(jobId)).rejects.toMatchObject({ code: 'terminated' });
  expect(await client.jobs.status(jobId)).toMatchObject({ state: 'terminated' });
  for await (const { type } of client.jobs.events(jobId)) expect(type).not.toBe('job.ended');
  await expect.poll(() => sandboxRemains(stack(), jobId)).toEqual([]);
});

test('a Temporal that is not there is told within seconds', async () => {
  const { config } = stack();
  const client = await createClient({ databaseUrl: String(config.databaseUrl), temporal: { address: '127.0.0.1:9' } });
  for (const asked of [client.jobs.submit(jobSpec()), client.jobs.status('any'), client.jobs.list(), client.schedules.list()])
    await expect(asked).rejects.toMatchObject({ code: 'temporal_unreachable' });
  await client.close();
});

test('a Temporal that was not there is reached by a later call', async ({ onTestFinished }) => {
  const { config, temporal } = stack();
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const client = await createClient({ databaseUrl: String(config.databaseUrl), temporal: { address, namespace: temporal.namespace } });
  await expect(client.jobs.list()).rejects.toMatchObject({ code: 'temporal_unreachable' });
  const relay = createServer((near) => void pipeline(near, connect(Number(temporal.address.split(':')[1]), '127.0.0.1'), near, () => {}));
  relay.listen(port, '127.0.0.1');
  onTestFinished(() => void relay.close());
  expect((await client.jobs.list({ tenant: 'nobody' })).items).toEqual([]);
  await client.close();
});

test('a Postgres that is not there is told, without its URL', async () => {
  const { temporal } = stack();
  const client = await createClient({
    databaseUrl: 'postgres://someone:pass-of-someone@127.0.0.1:9/none',
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  const error: unknown = await client.jobs.artifact('any', 'patch').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'database_unreachable' });
  expect(String(error)).not.toContain('pass-of-someone');
  await client.close();
});
