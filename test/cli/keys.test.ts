import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';

import type { KeyRef } from '../../src/contract/ref.ts';
import { expectEnded, secretOf, statusWith } from '../helpers/ended.ts';
import { sandboxRemains } from '../helpers/sandbox-remains.ts';
import { inMidTurn } from '../helpers/slow-turn.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { document, valetkey } from './valetkey.ts';

const stack = useStack({ environment: { VALETKEY_SWEEP_GRACE: '1s' } });

const cli = (...args: string[]): ReturnType<typeof valetkey> => {
  const { config, temporal } = stack();
  const env = {
    DATABASE_URL: config.databaseUrl ?? '',
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: config.taskQueue,
  };
  return valetkey(args, { env });
};

/** A job of the fast agent in mid-turn, and its key. */
async function running(tenant: string): Promise<{ jobId: string; ref: KeyRef }> {
  const jobId = await inMidTurn(stack(), 60, { agent: 'mock', tenant });
  const {
    items: [key],
  } = await stack().client.keys.list({ jobId });
  if (key === undefined) throw new Error('a job that runs has no key');
  return { jobId, ref: key.ref };
}

const atGateway = async (ref: KeyRef): Promise<number> => statusWith(stack(), secretOf(stack(), ref));

test('a key is listed with what it is and has spent; revoked it is refused at once, and its job fails with key_refused', async () => {
  const { client } = stack();
  const { jobId, ref } = await running('listed');
  const [text, json, stuck] = await Promise.all([
    cli('keys', '--tenant', 'listed'),
    cli('keys', '--job', jobId, '--active', '--json'),
    cli('keys', '--stuck'),
  ]);
  expect(text.stdout).toMatch(/^job +tenant +gen +state +age +expires +spent$/m);
  expect(text.stdout).toMatch(new RegExp(`^${jobId} +listed +1 +active +[\\d.]+s +in [\\dms.]+ +\\$[\\d.]+$`, 'm'));
  const key = { ref, jobId, tenant: 'listed', generation: 1, gateway: 'builtin', state: 'active', cause: null, endedAt: null };
  expect(document(json.stdout)).toMatchObject([{ ...key, spentUsd: 0, attempts: 0, lastError: null, retryAt: null }]);
  expect(stuck.stdout).toBe('no keys');

  expect(await atGateway(ref)).toBe(200);
  const revoked = await cli('revoke', jobId, '--json');
  expect(document(revoked.stdout)).toEqual({ jobId, disabled: 1, ended: 1, pending: 0, unknownTenant: null, failed: [] });
  expect(await atGateway(ref)).toBe(401);
  await expectEnded(stack(), jobId, { outcome: 'failed', code: 'key_refused' });
  expect((await client.keys.list({ jobId })).items).toMatchObject([{ state: 'revoked', cause: 'revoked' }]);
  expect(await client.keys.revoke({ jobId })).toEqual({ disabled: 0, ended: 0, pending: 0, unknownTenant: null, failed: [] });
});

test('a tenant that is revoked loses its keys and gets none until it is let in again; another’s are left alone', async () => {
  const { client } = stack();
  const [one, two, other] = await Promise.all([running('bad'), running('bad'), running('good')]);
  const { stdout, exitCode } = await cli('revoke', '--tenant', 'bad');
  expect(exitCode).toBe(0);
  for (const line of [/^ +2 {2}disabled now$/m, /^ +2 {2}ended/m, /^ +0 {2}pending$/m, /^bad gets no new keys until: .* --unblock$/m])
    expect(stdout).toMatch(line);
  expect(await Promise.all([one, two, other].map(({ ref }) => atGateway(ref)))).toEqual([401, 401, 200]);
  for (const { jobId } of [one, two]) await expectEnded(stack(), jobId, { outcome: 'failed', code: 'key_refused' });

  const spec = jobSpec({ agent: 'mock', tenant: 'bad', prompts: ['say hello'] });
  const refused = await client.jobs.submit(spec);
  await expectEnded(stack(), refused.jobId, { outcome: 'failed', code: 'tenant_blocked' });
  expect((await cli('revoke', '--tenant', 'bad', '--unblock')).stdout).toBe('bad gets new keys again');
  expect(await client.tenants.unblock('bad')).toBe(false);
  const again = await client.jobs.submit(spec);
  await expectEnded(stack(), again.jobId, { outcome: 'completed', code: null });

  await client.jobs.cancel(other.jobId);
  await expectEnded(stack(), other.jobId, { outcome: 'cancelled', code: 'cancelled' });
});

test('a key is rotated, and the new generation is told', async () => {
  const { client } = stack();
  const { jobId, ref } = await running('acme');
  expect((await cli('rotate', jobId)).stdout).toBe(`generation 2 of the key of ${jobId}`);
  expect((await client.keys.list({ jobId })).items.map(({ generation }) => generation)).toEqual([2, 1]);
  await client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  expect(await atGateway(ref)).toBe(401);
});

test('the key of a job that was terminated is named by a dry sweep and ended by the next', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'], keepOpen: '60s' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  await terminate(jobId);
  const found = { kind: 'closed_job', jobId, action: 'would_end' };
  await expect.poll(async () => (await client.sweep({ dryRun: true })).findings).toContainEqual(expect.objectContaining(found));
  const {
    items: [key],
  } = await client.keys.list({ jobId });
  expect(key).toMatchObject({ state: 'active' });

  const dry = await cli('sweep', '--dry-run');
  expect(dry.stdout).toContain(`would end key of a job that closed ${key?.ref}  (job closed)`);
  expect(dry.stdout).toMatch(/^scanned \d+: 1 would end/m);
  expect((await client.keys.list({ jobId })).items[0]).toMatchObject({ state: 'active' });
  const swept = await cli('sweep');
  expect(swept.stdout).toMatch(/^scanned \d+: 1 ended/m);
  expect((await client.keys.list({ jobId })).items[0]).toMatchObject({ state: 'revoked', cause: 'swept' });
  const remains = async (): Promise<string[]> => client.sweep().then(() => sandboxRemains(stack(), jobId));
  await expect.poll(remains).toEqual([]);
});

test('schedules are applied any number of times, and one that is paused stays so', async () => {
  const { client } = stack();
  expect(await client.schedules.list()).toMatchObject([
    { name: 'sweep', state: 'active' },
    { name: 'rotate-keys', state: 'active' },
  ]);
  expect((await cli('schedules', 'pause', 'sweep')).stdout).toBe('sweep is paused');
  const [applied, listed] = [await cli('schedules', 'apply', '--json'), await cli('schedules', 'list')];
  expect(document(applied.stdout)).toMatchObject([{ name: 'sweep', state: 'paused', nextRunAt: null }, { state: 'active' }]);
  expect(listed.stdout).toMatch(/^sweep +paused +never$/m);
  await client.schedules.resume('sweep');
  expect(await client.schedules.list()).toMatchObject([{ name: 'sweep', state: 'active' }, {}]);
});

test.each([
  ['a job that is not there', ['revoke', 'nobody'], 6, 'job_not_found'],
  ['a ref that is none', ['revoke', 'nobody/lease/x'], 2, 'invalid_spec'],
])('%s is refused', async (_what, args, exitCode, code) => {
  const refused = await cli(...args, '--json');
  expect({ exitCode: refused.exitCode, stdout: refused.stdout }).toEqual({ exitCode, stdout: '' });
  expect(document(refused.stderr)).toMatchObject({ error: { code } });
});

async function terminate(jobId: string): Promise<void> {
  const { address, namespace } = stack().temporal;
  const connection = await Connection.connect({ address });
  await new Client({ connection, namespace }).workflow.getHandle(jobId).terminate('for the test');
  await connection.close();
}
