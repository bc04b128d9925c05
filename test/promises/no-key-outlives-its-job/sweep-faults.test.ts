// No key outlives its job: what the job itself did not end the sweep does, also where the gateway loses answers, lists wrongly or does
// not do as it says; and it never ends a key of a job that runs.
// The gateway is a fake of a third party's, whose own records are asked.
import { randomBytes, randomUUID } from 'node:crypto';

import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Gateway } from '../../../src/gateways/gateway.ts';
import type { KeyRef } from '../../../src/job/ref.ts';
import { ROTATE_UPDATE } from '../../../src/job/requests.ts';
import type { KeyContext } from '../../../src/keys/context.ts';
import { createRootKeys } from '../../../src/keys/derive.ts';
import { endKey, endLastKeys } from '../../../src/keys/end-key.ts';
import { renewLeases } from '../../../src/keys/session-key.ts';
import { mintKey, type WantedKey } from '../../../src/keys/mint-key.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import { keyUsage } from '../../../src/store/keys.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import type { Fault } from '../../fakes/gateway/faults.ts';
import { COST } from '../../fakes/gateway/ledger.ts';
import { startFakeGateway } from '../../fakes/gateway/server.ts';
import { before } from '../../gate.ts';
import { jobSpec, useStack } from '../../stack.ts';
import { sweepOnce } from './fault-table.ts';

const MODEL = 'gpt-5.1-codex';
const PATIENCE = { timeout: 30_000, interval: 100 };

const fake = await startFakeGateway();
const { faults, ledger } = fake;
const stack = useStack({ adapt: fake.adapt, environment: { VALETKEY_SWEEP_GRACE: '1' } });
let database: Database;
let context: KeyContext;
let connection: Connection;
beforeAll(async () => {
  const { config, temporal } = stack();
  await fake.attach(stack());
  if (config.rootKey === undefined) throw new Error('the stack has no root key');
  database = openDatabase(String(config.databaseUrl));
  const { db } = database;
  context = { db, gateways: { builtin: fake.gateway }, rootKeys: createRootKeys(config.rootKey), owner: fake.owner, leaseMs: 120_000 };
  connection = await Connection.connect({ address: temporal.address });
});
afterAll(async () => {
  await connection.close();
  await database.close();
  await fake.close();
});

describe('the sweep', () => {
  test('ends a key whose mint lost its answer and whose job was terminated before it asked again', async () => {
    const jobId = `job-${randomUUID()}`;
    const lift = faults.arm('mint', { is: 'lost', when: 'after' }, { jobId });
    await stack().client.submit(jobSpec({ agent: 'mock' }), { id: jobId });
    await expect.poll(() => ledger.live(jobId), PATIENCE).toEqual([1]);
    await temporal().getHandle(jobId).terminate();
    lift();
    await expectSwept(jobId);
  });

  test('ends a key that a mint brings to life again after its end', async () => {
    const key = await minted();
    await endKey(context, key, 'job');
    await fake.gateway.mint(request(key));
    expect(ledger.live(key.jobId)).toEqual([1]);
    const lift = faults.arm('list', { is: 'clock', offMs: 600_000 });
    await expectSwept(key.jobId);
    lift();
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
  test('leaves the key of a job that runs alone however wrong the list of the gateway is, and the job goes on', async () => {
    const { client } = stack();
    const jobId = await openJob();
    const orphans = await Promise.all(Array.from({ length: 6 }, minted));
    for (const fault of lists) {
      const lift = faults.arm('list', fault);
      for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
      lift();
      expect(ledger.live(jobId), fault.is).toEqual([1]);
    }
    await client.prompt(jobId, 'hello');
    await expect.poll(() => ledger.usageOfJob(jobId).requests, PATIENCE).toBe(1);
    for (const orphan of orphans) await expectSwept(orphan.jobId);
    await client.cancel(jobId);
    expect((await client.result(jobId)).turns).toHaveLength(2);
    expect(ledger.live(jobId)).toEqual([]);
  });

  test('leaves the key of a job that runs alone where the ledger lost it, and ends it when the job has ended', async () => {
    const jobId = await openJob();
    await database.db.deleteFrom('keys').where('job_id', '=', jobId).execute();
    for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
    expect(ledger.live(jobId)).toEqual([1]);
    await stack().client.cancel(jobId);
    await stack().client.result(jobId);
    await expectSwept(jobId);
  });

  test('leaves keys of another installation alone', async () => {
    const jobId = `job-${randomUUID()}`;
    const alias = `valetkey/${fake.owner}-other/${jobId}/lease/1`;
    ledger.mint({ alias, secretHash: alias, budgetUsd: 1 }, 600_000, 0);
    for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
    expect(ledger.live(jobId)).toEqual([1]);
  });

  test('ends the keys of fifty jobs that nobody knows, two sweeps at once', async () => {
    const keys = await Promise.all(Array.from({ length: 50 }, minted));
    const live = (): number => keys.filter(({ jobId }) => ledger.live(jobId).length > 0).length;
    await expect.poll(() => Promise.all([sweepOnce(stack()), sweepOnce(stack())]).then(live), PATIENCE).toBe(0);
    expect(await openRefs(keys)).toEqual([]);
  });

  test('ends every other key beside one that cannot be ended, calls it stuck, and ends it when the gateway has mended', async () => {
    const [poisoned, ...others] = [await minted(), await minted(), await minted()];
    const lift = faults.arm('disable', { is: 'status', status: 503, when: 'before' }, { jobId: poisoned.jobId });
    for (const { jobId } of others) await expectSwept(jobId);
    const sweepAgain = async (): Promise<string | undefined> => {
      // In place of the pause between two attempts.
      await database.db.updateTable('keys').set({ retry_at: null }).where('ref', '=', poisoned.ref).execute();
      await sweepOnce(stack());
      return (await row(poisoned.ref))?.state;
    };
    await expect.poll(sweepAgain, PATIENCE).toBe('stuck');
    expect(await row(poisoned.ref)).toMatchObject({ attempts: 5, last_error: 'gateway_unreachable' });
    lift();
    expect(await sweepAgain()).toBe('dead');
    expect(ledger.live(poisoned.jobId)).toEqual([]);
  });
});

describe('the end of a key', () => {
  test('that comes while its mint is under way also ends what the mint makes', async () => {
    const key = wanted();
    faults.arm('mint', { is: 'slow', ms: 1_000, when: 'before' }, { jobId: key.jobId });
    const minting = mintKey(context, key, []);
    const refused = expect(minting).rejects.toMatchObject({ code: 'key_ended' });
    await expect.poll(() => ledger.calls.some(({ call, alias }) => call === 'mint' && alias?.includes(key.jobId)), PATIENCE).toBe(true);
    await endKey(context, key, 'swept');
    await refused;
    expect(ledger.keys.map(({ alias }) => alias)).toContain(`valetkey/${fake.owner}/${key.ref}`);
    expect(ledger.live(key.jobId)).toEqual([]);
  });

  test('disables it again where the gateway acknowledged that and did not do it', async () => {
    const key = await minted();
    faults.arm('disable', { is: 'ignored' }, { jobId: key.jobId, times: 1 });
    await expect(endKey(context, key, 'job')).rejects.toMatchObject({ code: 'gateway_unreachable' });
    expect(ledger.live(key.jobId)).toEqual([1]);
    await endKey(context, key, 'job');
    expect(ledger.live(key.jobId)).toEqual([]);
  });

  test('disables it also where its root key is missing', async () => {
    const key = await minted();
    const rootKeys = createRootKeys(new Secret(randomBytes(32).toString('base64')));
    await expect(endKey({ ...context, rootKeys }, key, 'job')).rejects.toMatchObject({ code: 'root_key_missing' });
    expect(ledger.live(key.jobId)).toEqual([]);
  });

  test('has what it spent on record before the gateway is told to delete it', async () => {
    const key = await minted();
    const used = ledger.find(`valetkey/${fake.owner}/${key.ref}`);
    if (used !== undefined) used.requests = 3;
    const seen: number[] = [];
    const gateway = before<Gateway>(fake.gateway, 'delete', async () => void seen.push((await keyUsage(context.db, key.ref)).usd));
    await endKey({ ...context, gateways: { builtin: gateway } }, key, 'job');
    expect(seen).toEqual([3 * COST.usd]);
  });

  test('that fails keeps no other key of its job from its end', async () => {
    const first = await minted();
    const second: WantedKey = { ...first, ref: `${first.jobId}/lease/2`, generation: 2 };
    await mintKey(context, second, []);
    const gateway = failingAt('disable', second.ref);
    await expect(endLastKeys({ ...context, gateways: { builtin: gateway } }, second)).rejects.toThrow('broken');
    expect(ledger.live(first.jobId)).toEqual([2]);
    await endLastKeys(context, second);
    expect(ledger.live(first.jobId)).toEqual([]);
  });
});

test('a lease that cannot be renewed keeps no other of its job from its renewal', async () => {
  const first = await minted();
  const second: WantedKey = { ...first, ref: `${first.jobId}/lease/2`, generation: 2 };
  await mintKey(context, second, []);
  const gateway = failingAt('extend', first.ref);
  await expect(renewLeases({ ...context, gateways: { builtin: gateway }, leaseMs: 600_000 }, first.jobId)).rejects.toThrow('broken');
  const [old, fresh] = ledger.keys.filter(({ alias }) => alias.includes(first.jobId)).map(({ expiresAt }) => expiresAt - Date.now());
  expect(old).toBeLessThan(200_000);
  expect(fresh).toBeGreaterThan(400_000);
});

test('a rotation whose mint is refused leaves no key behind that the next ones do not end', async () => {
  const jobId = await openJob();
  const handle = temporal().getHandle(jobId);
  faults.arm('mint', { is: 'status', status: 400, when: 'before' }, { jobId, times: 1 });
  await expect(handle.executeUpdate(ROTATE_UPDATE)).rejects.toThrow();
  await handle.executeUpdate(ROTATE_UPDATE);
  await expect.poll(() => ledger.live(jobId), PATIENCE).toEqual([2]);
  await handle.executeUpdate(ROTATE_UPDATE);
  await expect.poll(() => ledger.live(jobId), PATIENCE).toEqual([3]);
  await stack().client.cancel(jobId);
  await stack().client.result(jobId);
  expect(ledger.live(jobId)).toEqual([]);
});

/** Has the sweep look until nothing of a job lives, and the ledger has no key of it to end. */
async function expectSwept(jobId: string): Promise<void> {
  await expect.poll(() => sweepOnce(stack()).then(() => ledger.live(jobId)), PATIENCE).toEqual([]);
  const open = database.db.selectFrom('keys').select('ref').where('job_id', '=', jobId).where('ended_at', 'is', null);
  expect(await open.execute()).toEqual([]);
}

/** A job that has done its first turn and waits for another prompt. */
async function openJob(): Promise<string> {
  const { client } = stack();
  const { jobId } = await client.submit(jobSpec({ agent: 'mock', prompts: ['!say hello'], keepOpen: '2m' }));
  for await (const { type } of client.events(jobId)) if (type === 'turn.ended') break;
  await expect.poll(async () => (await client.status(jobId)).phase, PATIENCE).toBe('waiting');
  return jobId;
}

/** A key of a job that Temporal does not know. */
async function minted(): Promise<WantedKey> {
  const key = wanted();
  await mintKey(context, key, []);
  return key;
}

function wanted(): WantedKey {
  const jobId = `job-${randomUUID()}`;
  const diesAt = new Date(Date.now() + 600_000);
  return { ref: `${jobId}/lease/1`, jobId, tenant: 'acme', generation: 1, gateway: 'builtin', budgetUsd: 1, models: [MODEL], diesAt };
}

/** The fake's client, which fails at one key. */
function failingAt(method: 'disable' | 'extend', broken: KeyRef): Gateway {
  return before<Gateway>(fake.gateway, method, async (_jobId, ref) => {
    if (ref === broken) throw new Error('broken');
  });
}

function request(key: WantedKey): Parameters<Gateway['mint']>[0] {
  const { rootKeys } = context;
  return { ...key, secret: rootKeys.derive(rootKeys.currentId, key.ref), expiresAt: key.diesAt };
}

function temporal(): Client['workflow'] {
  return new Client({ connection, namespace: stack().temporal.namespace }).workflow;
}

async function row(ref: KeyRef) {
  return database.db.selectFrom('keys').selectAll().where('ref', '=', ref).executeTakeFirst();
}

async function openRefs(keys: readonly WantedKey[]): Promise<string[]> {
  const refs = keys.map(({ ref }) => ref);
  const rows = await database.db.selectFrom('keys').select('ref').where('ref', 'in', refs).where('ended_at', 'is', null).execute();
  return rows.map(({ ref }) => ref);
}
