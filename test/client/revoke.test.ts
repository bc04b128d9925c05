import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { test, type TestContext } from 'vitest';

import type { KeyRef } from '../../src/contract/ref.ts';
import { createClient, type ValetkeyClient } from '../../src/index.ts';
import { blockTenant } from '../../src/store/blocked-tenants.ts';
import { openDatabase } from '../../src/store/database.ts';
import { activateKey, recordIntent } from '../../src/store/key-transitions.ts';
import { beginEnds } from '../../src/store/key-transitions.ts';
import { expectEnded, secretOf, statusWith } from '../helpers/ended.ts';
import { builtinSecrets } from '../helpers/minted-key.ts';
import { processStack } from '../helpers/process-stack.ts';
import { inMidTurn } from '../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { OF_GATEWAY } from '../helpers/stored-credential.ts';

const stack = useStack();

/** A client of an installation that has no worker. */
async function withoutWorker({ onTestFinished }: TestContext): Promise<ValetkeyClient> {
  const { config, temporal } = stack();
  const client = await createClient({
    databaseUrl: String(config.databaseUrl),
    taskQueue: `test-${randomUUID()}`,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  onTestFinished(() => client.close());
  return client;
}

test.concurrent('a key whose mint was under way when its tenant was blocked never becomes live', async ({ expect }) => {
  const database = openDatabase(String(stack().config.databaseUrl));
  const { db } = database;
  const ref: KeyRef = `job-${randomUUID()}/lease/1`;
  const key = { ref, jobId: ref.split('/')[0] ?? '', tenant: 'raced', generation: 1, gateway: 'builtin', credential: OF_GATEWAY } as const;
  const soon = new Date(Date.now() + 60_000);
  const intent = { ...key, owner: 'tests', rootKeyId: 'any', models: ['any'], budgetUsd: 1, expiresAt: soon, hardExpiresAt: soon };
  const isBlocked = Promise.withResolvers<void>();
  const isIntended = Promise.withResolvers<void>();
  const intending = db.transaction().execute(async (open) => {
    await recordIntent(open, intent);
    isIntended.resolve();
    await isBlocked.promise;
  });
  await isIntended.promise;
  await blockTenant(db, 'raced');
  expect(await beginEnds(db, 'tests', { tenant: 'raced' })).toEqual([]);
  isBlocked.resolve();
  await intending;
  expect(await activateKey(db, key, builtinSecrets(ref))).toBe('ended');
  await database.close();
});

test.concurrent('a job that had its key revoked gets no other, and fails with its next turn', async ({ expect }) => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'], keepOpen: '60s' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  expect(await client.keys.revoke({ jobId })).toMatchObject({ disabled: 1, ended: 1, pending: 0 });
  await expect(client.keys.rotate(jobId)).rejects.toMatchObject({ code: 'key_refused' });
  await client.jobs.prompt(jobId, '!say two');
  await expectEnded(stack(), jobId, { outcome: 'failed', code: 'key_refused' });
});

test.concurrent('with Temporal away the keys of a job are still listed, and refused once they are revoked', async ({ expect }) => {
  const { config, temporal } = stack();
  const { databaseUrl = '', taskQueue, deployment } = config;
  const jobId = await inMidTurn(stack(), 60, { agent: 'mock' });
  const cutOff = await createClient({
    databaseUrl,
    taskQueue,
    deployment,
    temporal: { address: '127.0.0.1:9', namespace: temporal.namespace },
  });
  const { items: keys } = await cutOff.keys.list({ jobId });
  expect(keys).toMatchObject([{ state: 'active' }]);
  const statuses = async () => Promise.all(keys.map(async ({ ref }) => statusWith(stack(), secretOf(stack(), ref))));
  const revoking = cutOff.keys.revoke({ jobId });
  await expect.poll(statuses, { timeout: 2_000 }).toEqual([401]);
  expect(await revoking).toMatchObject({ disabled: 1, failed: [] });
  await cutOff.close();
  await expectEnded(stack(), jobId, { outcome: 'failed', code: 'key_refused' });
});

test.concurrent('what is asked of a job or a key that is not there says so', async ({ expect }) => {
  const { client } = stack();
  await expect(client.keys.revoke({ jobId: 'nobody' })).rejects.toMatchObject({ code: 'job_not_found' });
  await expect(client.keys.revoke({ ref: 'nobody/lease/1' })).rejects.toMatchObject({ code: 'no_such_key' });
  await expect(client.keys.revoke({ tenant: 'a b' })).rejects.toMatchObject({ code: 'invalid_spec' });
  await expect(client.keys.rotate('nobody')).rejects.toMatchObject({ code: 'job_not_found' });
});

test.concurrent('the keys of another installation are neither seen nor ended', async (context) => {
  const { expect } = context;
  const jobId = await inMidTurn(stack(), 60, { agent: 'mock' });
  const others = await withoutWorker(context);
  expect((await others.keys.list({ jobId })).items).toEqual([]);
  await expect(others.keys.revoke({ jobId })).rejects.toMatchObject({ code: 'no_such_key' });
  expect((await stack().client.keys.list({ jobId })).items).toMatchObject([{ state: 'active', cause: null }]);
  await stack().client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
});

test.concurrent('where there is no worker a sweep says so, and a schedule that nobody applied is told as missing', async (context) => {
  const { expect } = context;
  const client = await withoutWorker(context);
  expect(await client.schedules.list()).toMatchObject([{ state: 'missing' }, { state: 'missing' }]);
  await expect(client.schedules.pause('sweep')).rejects.toMatchObject({ code: 'no_such_schedule' });
  await expect(client.sweep()).rejects.toMatchObject({ code: 'no_worker' });
});

test.concurrent('a job that has no key yet says so to whoever revokes it', async (context) => {
  const { expect } = context;
  const client = await withoutWorker(context);
  const { jobId } = await client.jobs.submit(jobSpec());
  await expect(client.keys.revoke({ jobId })).rejects.toMatchObject({ code: 'no_such_key' });
  await client.jobs.cancel(jobId);
});

test.concurrent('with the worker down keys are refused and their streams cut at once, told as pending, and ended once a worker is there', async (context) => {
  const { expect } = context;
  const own = await processStack(context);
  const { client } = own;
  const jobs = await Promise.all([inMidTurn(own, 60, { agent: 'mock' }), inMidTurn(own, 60, { agent: 'mock' })]);
  await own.worker.kill('SIGKILL');
  const reports: Promise<unknown>[] = [];
  // 2.5 s apart: what the gateway looks up every 5 s can cut one of two streams in time by chance, never both.
  for (const [index, jobId] of jobs.entries()) {
    const secrets = (await client.keys.list({ jobId })).items.map(({ ref }) => secretOf(own, ref));
    expect(await Promise.all(secrets.map(async (secret) => statusWith(own, secret)))).toEqual([200]);
    const pause = sleep(2_500);
    reports.push(client.keys.revoke({ jobId }));
    await expect.poll(() => own.model?.inFlight(), { timeout: 2_000 }).toBe(jobs.length - index - 1);
    expect(await Promise.all(secrets.map(async (secret) => statusWith(own, secret)))).toEqual([401]);
    await pause;
  }
  const pending = { disabled: 1, ended: 0, pending: 1, failed: [], unknownTenant: null };
  expect(await Promise.all(reports)).toEqual([pending, pending]);

  await own.worker.start();
  await client.sweep();
  for (const jobId of jobs) {
    await expect.poll(async () => (await client.keys.list({ jobId })).items[0]?.endedAt).not.toBeNull();
    await expectEnded(own, jobId, { outcome: 'failed', code: 'key_refused' });
  }
});
