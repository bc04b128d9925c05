// No key outlives its job: what the job itself did not end the sweep does, also where the gateway loses answers, lists wrongly or
// fails at one key for long; and it never ends a key of a job that runs.
// The gateway is a fake of a third party's, whose own records are asked.
import { randomUUID } from 'node:crypto';

import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { KeyRef } from '../../../src/contract/ref.ts';
import { ROTATE_UPDATE, type Rotated } from '../../../src/contract/requests.ts';
import type { KeyContext } from '../../../src/keys/context.ts';
import { endKey } from '../../../src/keys/end-key.ts';
import { mintKey } from '../../../src/keys/mint-key.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import type { Fault } from '../../fakes/gateway/faults.ts';
import { startFakeGateway } from '../../fakes/gateway/server.ts';
import { keyContext, mintedKey } from '../../helpers/minted-key.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';
import { sweepOnce } from './fault-table.ts';

const GRACE_S = 1;

const fake = await startFakeGateway();
const { faults, ledger, gateway } = fake;
const stack = useStack({ adapt: fake.adapt, environment: { VALETKEY_SWEEP_GRACE: `${GRACE_S}s` } });
let database: Database;
let context: KeyContext;
let connection: Connection;
let workflows: Client['workflow'];
beforeAll(async () => {
  const { config, temporal } = stack();
  await fake.attach(stack());
  if (config.rootKey === undefined) throw new Error('the stack has no root key');
  database = openDatabase(String(config.databaseUrl));
  context = keyContext(database.db, fake, config.rootKey);
  connection = await Connection.connect({ address: temporal.address });
  workflows = new Client({ connection, namespace: temporal.namespace }).workflow;
});
afterAll(async () => {
  await connection.close();
  await database.close();
  await fake.close();
});

test('a key whose mint lost its answer, and whose job was terminated before it asked again, is ended', async () => {
  const jobId = `job-${randomUUID()}`;
  const lift = faults.arm('mint', { is: 'lost', when: 'after' }, { jobId });
  await stack().client.jobs.submit(jobSpec({ agent: 'mock' }), { id: jobId });
  await expect.poll(() => ledger.live(jobId)).toEqual([1]);
  await workflows.getHandle(jobId).terminate();
  lift();
  await expectSwept(jobId);
});

test('a key that a late mint brings to life again after its end is ended, also where the clock of the gateway is fast', async () => {
  const { rootKeys } = context;
  const key = await mintedKey(context);
  await endKey(context, key, 'job');
  const secret = rootKeys.derive(rootKeys.currentId, key.ref);
  await gateway.mint({ ...key, id: null, attempts: 1, secret, upstreamSecret: secret, expiresAt: key.hardExpiresAt });
  expect(ledger.live(key.jobId)).toEqual([1]);
  const lift = faults.arm('list', { is: 'clock', offMs: 600_000 });
  await expectSwept(key.jobId);
  lift();
});

test('a mint that comes again after the end of its key asks nothing of the gateway, which would bring the key back to life', async () => {
  const key = await mintedKey(context);
  await endKey(context, key, 'job');
  const calls = ledger.calls.length;
  await expect(mintKey(context, key, [])).rejects.toMatchObject({ code: 'key_ended' });
  expect(ledger.calls.slice(calls).map(({ call }) => call)).toEqual([]);
});

test('the key of a job that was reset is left alone, though an earlier run of it was ended without its cleanup', async () => {
  const jobId = await openJob();
  const handle = workflows.getHandle(jobId);
  const { runId } = await handle.describe();
  const { events } = await handle.fetchHistory();
  const task = (events ?? []).findLast((event) => event.workflowTaskCompletedEventAttributes != null);
  await connection.workflowService.resetWorkflowExecution({
    namespace: stack().temporal.namespace,
    workflowExecution: { workflowId: jobId, runId },
    workflowTaskFinishEventId: task?.eventId ?? null,
    reason: 'test',
    requestId: randomUUID(),
  });
  // Visibility lists the ended run some moments later.
  const listed = async (): Promise<number> => (await sweepOnce(stack())).scanned;
  await expect.poll(listed).toBeGreaterThan(1);
  await sweepOnce(stack());
  expect(ledger.live(jobId)).toEqual([1]);
  await stack().client.jobs.cancel(jobId);
  await stack().client.jobs.result(jobId);
  expect(ledger.live(jobId)).toEqual([]);
});

const lists: Fault[] = [
  { is: 'partial' },
  { is: 'flapping' },
  { is: 'stale' },
  { is: 'torn' },
  { is: 'malformed' },
  { is: 'clock', offMs: -600_000 },
  { is: 'clock', offMs: 600_000 },
];
test('the key of a job that runs is left alone however wrong the list of the gateway is, and the job goes on', async () => {
  const { client } = stack();
  const jobId = await openJob();
  const orphans = await Promise.all(Array.from({ length: 6 }, async () => mintedKey(context)));
  const live: [Fault, number[]][] = [];
  for (const fault of lists) {
    const lift = faults.arm('list', fault);
    for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
    lift();
    live.push([fault, ledger.live(jobId)]);
  }
  expect(live).toEqual(lists.map((fault) => [fault, [1]]));
  await client.jobs.prompt(jobId, 'hello');
  await expect.poll(() => ledger.usageOfJob(jobId).requests).toBe(1);
  for (const orphan of orphans) await expectSwept(orphan.jobId);
  await client.jobs.cancel(jobId);
  expect((await client.jobs.result(jobId)).outcome).toBe('cancelled');
  expect(ledger.live(jobId)).toEqual([]);
});

test('the key of a job that runs is left alone where the ledger lost it, and is ended when the job has ended', async () => {
  const jobId = await openJob();
  await database.db.deleteFrom('keys').where('job_id', '=', jobId).execute();
  for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
  expect(ledger.live(jobId)).toEqual([1]);
  await stack().client.jobs.cancel(jobId);
  await stack().client.jobs.result(jobId);
  await expectSwept(jobId);
});

test('keys of another installation are left alone', async () => {
  const jobId = `job-${randomUUID()}`;
  const alias = `valetkey/${fake.owner}-other/${jobId}/lease/1`;
  ledger.mint({ alias, secretHash: alias, budgetUsd: 1 }, 600_000, 0);
  for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
  expect(ledger.live(jobId)).toEqual([1]);
});

test('a key that was just made is left alone for the grace, though nobody knows its job', async () => {
  const { ref, jobId } = await mintedKey(context);
  // It was seen before, so that nothing but the grace keeps it.
  await database.db
    .updateTable('keys')
    .set({ orphan_since: new Date(0) })
    .where('ref', '=', ref)
    .execute();
  await expectSwept(jobId);
  const life = database.db.selectFrom('keys').select(['intended_at', 'ending_at']).where('ref', '=', ref);
  const { intended_at, ending_at } = await life.executeTakeFirstOrThrow();
  expect(Number(ending_at) - Number(intended_at)).toBeGreaterThanOrEqual(GRACE_S * 1000);
});

test('the keys of fifty jobs that nobody knows are ended by two sweeps at once', async () => {
  const keys = await Promise.all(Array.from({ length: 50 }, async () => mintedKey(context)));
  const open = database.db.selectFrom('keys').select('ref').where('ended_at', 'is', null);
  await expect
    .poll(async () => {
      await Promise.all([sweepOnce(stack()), sweepOnce(stack())]);
      return open.where('ref', 'in', refsOf(keys)).execute();
    })
    .toEqual([]);
  expect(keys.flatMap(({ jobId }) => ledger.live(jobId))).toEqual([]);
});

test('a key that cannot be ended keeps no other from its end, is called stuck, and is ended when the gateway has mended', async () => {
  const [poisoned, ...others] = [await mintedKey(context), await mintedKey(context), await mintedKey(context)];
  const { ref, jobId } = poisoned;
  const lift = faults.arm('disable', { is: 'status', status: 503, when: 'before' }, { jobId });
  for (const other of others) await expectSwept(other.jobId);
  const row = database.db.selectFrom('keys').select(['state', 'attempts', 'last_error']).where('ref', '=', ref);
  const sweepAgain = async (): Promise<string> => {
    // In place of the pause between two attempts.
    await database.db.updateTable('keys').set({ retry_at: null }).where('ref', '=', ref).execute();
    await sweepOnce(stack());
    return (await row.executeTakeFirstOrThrow()).state;
  };
  await expect.poll(sweepAgain).toBe('stuck');
  expect(await row.executeTakeFirst()).toMatchObject({ attempts: 5, last_error: 'gateway_unreachable' });
  lift();
  expect(await sweepAgain()).toBe('revoked');
  expect(ledger.live(jobId)).toEqual([]);
});

test('a rotation whose mint is refused leaves no key behind that the next ones do not end', async () => {
  const jobId = await openJob();
  const job = workflows.getHandle(jobId);
  faults.arm('mint', { is: 'status', status: 400, when: 'before' }, { jobId, times: 1 });
  await expect(job.executeUpdate(ROTATE_UPDATE)).rejects.toThrow('Workflow Update failed');
  for (const generation of [2, 3]) {
    // One that runs answers for those that are asked for meanwhile.
    await expect.poll(async () => (await job.executeUpdate<Rotated, []>(ROTATE_UPDATE)).generation).toBe(generation);
    await expect.poll(() => ledger.live(jobId)).toEqual([generation]);
  }
  await stack().client.jobs.cancel(jobId);
  await stack().client.jobs.result(jobId);
  expect(ledger.live(jobId)).toEqual([]);
});

/** Has the sweep look until no key of a job lives; then the ledger has none to end. */
async function expectSwept(jobId: string): Promise<void> {
  await expect.poll(async () => sweepOnce(stack()).then(() => ledger.live(jobId))).toEqual([]);
  const open = database.db.selectFrom('keys').select('ref').where('job_id', '=', jobId).where('ended_at', 'is', null);
  expect(await open.execute()).toEqual([]);
}

/** A job that has done its first turn and waits for another prompt. */
async function openJob(): Promise<string> {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say hello'], keepOpen: '2m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  return jobId;
}

function refsOf(keys: readonly { ref: KeyRef }[]): KeyRef[] {
  return keys.map(({ ref }) => ref);
}
