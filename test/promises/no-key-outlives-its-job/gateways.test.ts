// No key outlives its job at a gateway that draws the secrets itself: not where two workers mint at once, not where a mint comes through too
// late, not where the ledger, the root key or the list of keys is not what it was. Keys of others are left alone. The gateways are fakes of
// OpenRouter and Portkey, whose records know every key that was ever made.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import { noopMetricMeter } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { codeOf } from '../../../src/contract/errors.ts';
import type { KeyRef } from '../../../src/contract/ref.ts';
import { startScriptedModel } from '../../../src/dev/scripted-model/server.ts';
import { createGateways } from '../../../src/gateways/index.ts';
import { formatKeyName } from '../../../src/gateways/key-name.ts';
import { ownerOf, type KeyContext } from '../../../src/keys/context.ts';
import { createRootKeys } from '../../../src/keys/derive.ts';
import { endKey } from '../../../src/keys/end-key.ts';
import { mintKey, type MintParams } from '../../../src/keys/mint-key.ts';
import { openKeyring } from '../../../src/secrets/keyring.ts';
import { sealUpstreamKey } from '../../../src/secrets/seal.ts';
import { generateSealingKey } from '../../../src/secrets/sealing-key.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import { createUnsealer } from '../../../src/secrets/unsealer.ts';
import { openDatabase, type Database } from '../../../src/store/database.ts';
import { createKeyMetrics } from '../../../src/telemetry/metrics.ts';
import type { Fault } from '../../fakes/gateway/faults.ts';
import { DEFAULT_WORKSPACE } from '../../fakes/openrouter/ledger.ts';
import { startOpenRouterJobs } from '../../gateways/rigs/openrouter.ts';
import { startPortkeyJobs } from '../../gateways/rigs/portkey.ts';
import { acceptedKeys, type ExternalRig } from '../../gateways/rigs/rig.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';
import { sweepOnce } from './fault-table.ts';

const model = await startScriptedModel();
const openrouter = await startOpenRouterJobs(model);
const portkey = await startPortkeyJobs(model);
const sealing = await generateSealingKey();
const stack = useStack({
  environment: { ...openrouter.environment, ...portkey.environment, VALETKEY_SEALING_KEY: sealing.privateKey, VALETKEY_SWEEP_GRACE: '1s' },
});
let database: Database;
let context: KeyContext;
beforeAll(() => {
  const { config, temporal } = stack();
  database = openDatabase(String(config.databaseUrl));
  context = contextWith(database, String(config.rootKey?.reveal()), ownerOf(temporal.namespace, config.deployment));
});
afterAll(async () => {
  await database.close();
  await openrouter.close();
  await portkey.close();
  await model.close();
});

const LISTS: Fault[] = [
  { is: 'partial' },
  { is: 'flapping' },
  { is: 'stale' },
  { is: 'torn' },
  { is: 'malformed' },
  { is: 'status', status: 401, when: 'before' },
  { is: 'clock', offMs: -600_000 },
  { is: 'clock', offMs: 600_000 },
];

describe.each([
  { rig: openrouter as ExternalRig, plant: plantAtOpenRouter },
  { rig: portkey as ExternalRig, plant: plantAtPortkey },
])('$rig.gateway', ({ rig, plant }) => {
  test('two workers that mint a key at once leave one, which is the one in the ledger', async () => {
    const key = wantedKey(rig);
    await Promise.all([mintUntilDone(key), mintUntilDone(key), mintUntilDone(key)]);
    const accepted = await acceptedKeys(rig, key.jobId);
    expect(accepted.map(({ id }) => id)).toEqual([await upstreamIdOf(key.ref)]);
    await endKey(context, key, 'job');
    expect(await acceptedKeys(rig, key.jobId)).toEqual([]);
  });

  test('a mint that is at the gateway while its key is ended leaves no key', async () => {
    const key = wantedKey(rig);
    const minting = mintSlowly(rig, key, 1_000);
    await expect.poll(() => hasMintBegun(rig, key.jobId)).toBe(true);
    await endKey(context, key, 'job');
    expect(await minting.catch((error: unknown) => codeOf(error))).toBe('key_ended');
    expect(await acceptedKeys(rig, key.jobId)).toEqual([]);
  });

  test('a key that a mint makes after the end of its ref is ended by the sweep', async () => {
    const key = wantedKey(rig);
    await mintKey(context, key, []);
    await endKey(context, key, 'job');
    plant(formatKeyName({ owner: context.owner, ref: key.ref, attempt: 1 }));
    expect(await acceptedKeys(rig, key.jobId)).toHaveLength(1);
    await expectSwept(rig, key.jobId);
  });

  test('a key that comes through while another one of its ref is in use is ended with it', async () => {
    const key = wantedKey(rig);
    rig.faults.arm('mint', { is: 'lost', when: 'before' }, { jobId: key.jobId, times: 1 });
    await mintUntilDone(key);
    plant(formatKeyName({ owner: context.owner, ref: key.ref, attempt: 1 }));
    expect(await acceptedKeys(rig, key.jobId)).toHaveLength(2);
    await endKey(context, key, 'job');
    expect(await acceptedKeys(rig, key.jobId)).toEqual([]);
  });

  test('keys of other owners and of other programs are left alone', async () => {
    const jobId = `job-${randomUUID()}`;
    const ref: KeyRef = `${jobId}/lease/1`;
    plant(formatKeyName({ owner: `${context.owner}-other`, ref, attempt: 1 }));
    plant(`x/${jobId}/production/1`);
    await sweepBeyondGrace();
    expect(await acceptedKeys(rig, jobId)).toHaveLength(2);
  });

  test('the key of a job that runs is left alone however wrong the list of keys is', async () => {
    const jobId = await openJob(rig);
    for (const fault of LISTS) {
      const lift = rig.faults.arm('list', fault);
      for (let sweeps = 0; sweeps < 3; sweeps += 1) await sweepOnce(stack());
      lift();
    }
    expect(await acceptedKeys(rig, jobId)).toHaveLength(1);
    await cancel(jobId);
    expect(await acceptedKeys(rig, jobId)).toEqual([]);
  });

  test('a job that is reset goes on with its key, which ends with it', async () => {
    const jobId = await openJob(rig);
    await reset(jobId);
    await sweepOnce(stack());
    expect(await acceptedKeys(rig, jobId)).toHaveLength(1);
    await cancel(jobId);
    await expectSwept(rig, jobId);
  });

  test('a key whose id the ledger has lost is ended by its name', async () => {
    const jobId = await openJob(rig);
    await database.db.updateTable('keys').set({ upstream_id: null, upstream_sealed: null }).where('job_id', '=', jobId).execute();
    await cancel(jobId);
    expect(await acceptedKeys(rig, jobId)).toEqual([]);
  });

  test('a key whose row the ledger has lost is left to its job, and ended when that has ended', async () => {
    const jobId = await openJob(rig);
    await database.db.deleteFrom('keys').where('job_id', '=', jobId).execute();
    await sweepBeyondGrace();
    expect(await acceptedKeys(rig, jobId)).toHaveLength(1);
    await cancel(jobId);
    await expectSwept(rig, jobId);
  });

  test('a key that the ledger took for minting again after a restore is replaced by one, and both end', async () => {
    const key = wantedKey(rig);
    await mintKey(context, key, []);
    const restored = { state: 'minting', upstream_id: null, upstream_sealed: null, minted_at: null, secret_hash: null } as const;
    await database.db.updateTable('keys').set(restored).where('ref', '=', key.ref).execute();
    await mintUntilDone(key);
    expect((await acceptedKeys(rig, key.jobId)).map(({ id }) => id)).toEqual([await upstreamIdOf(key.ref)]);
    await endKey(context, key, 'job');
    expect(await acceptedKeys(rig, key.jobId)).toEqual([]);
  });

  test('a key whose root key is missing is refused at the gateway all the same, and its end is over when the root key is back', async () => {
    const key = wantedKey(rig);
    await mintKey(context, key, []);
    const rotated = contextWith(database, Buffer.alloc(32, 7).toString('base64'), context.owner);
    await expect(endKey(rotated, key, 'job')).rejects.toMatchObject({ code: 'root_key_missing' });
    expect(await acceptedKeys(rig, key.jobId)).toEqual([]);
    await endKey(context, key, 'job');
    const row = database.db.selectFrom('keys').select('ended_at').where('ref', '=', key.ref);
    expect((await row.executeTakeFirstOrThrow()).ended_at).not.toBeNull();
  });

  test('a mint that is overtaken while the gateway fails leaves its key to the end of the other one', async () => {
    const key = wantedKey(rig);
    const overtaken = mintSlowly(rig, key, 2_000);
    await expect.poll(() => hasMintBegun(rig, key.jobId)).toBe(true);
    await mintKey(context, key, []);
    rig.faults.arm('disable', { is: 'status', status: 503, when: 'before' }, { jobId: key.jobId, times: 1 });
    await overtaken;
    expect(await acceptedKeys(rig, key.jobId)).toHaveLength(2);
    await endKey(context, key, 'job');
    expect(await acceptedKeys(rig, key.jobId)).toEqual([]);
  });
});

function contextWith({ db }: Database, rootKey: string, owner: string): KeyContext {
  const { config } = stack();
  const { outbound, socketPath } = config.gateway;
  const unsealer = createUnsealer(openKeyring(config, () => {}));
  return {
    db,
    gateways: createGateways({ ...config.gateways, builtin: { db, socketPath }, owner, outbound }),
    rootKeys: createRootKeys(new Secret(rootKey)),
    sealUpstreamKey: async (secret, ref) => sealUpstreamKey(secret, { publicKey: sealing.publicKey, ref }),
    openUpstreamKey: async (sealed, ref) => unsealer.open(sealed, { purpose: 'upstream-key', ref }),
    owner,
    leaseMs: 120_000,
    metrics: createKeyMetrics(noopMetricMeter),
  };
}

function wantedKey({ gateway, models }: ExternalRig): MintParams {
  const jobId = `job-${randomUUID()}`;
  return {
    ref: `${jobId}/lease/1`,
    jobId,
    tenant: 'acme',
    generation: 1,
    gateway,
    credential: { strategy: 'gateway', gateway },
    budgetUsd: 2,
    models: models.openai,
    hardExpiresAt: new Date(Date.now() + 600_000),
  };
}

/** As Temporal does it, which retries what may succeed. */
async function mintUntilDone(key: MintParams): Promise<void> {
  for (;;) {
    try {
      return await mintKey(context, key, []);
    } catch (error) {
      if (codeOf(error) !== 'gateway_unreachable') throw error;
    }
  }
}

async function mintSlowly({ faults }: ExternalRig, key: MintParams, ms: number): Promise<void> {
  faults.arm('mint', { is: 'slow', ms, when: 'before' }, { jobId: key.jobId, times: 1 });
  return mintUntilDone(key);
}

function hasMintBegun({ recorded }: ExternalRig, jobId: string): boolean {
  return recorded.some((made) => made.call === 'mint' && made.jobId === jobId);
}

async function upstreamIdOf(ref: KeyRef): Promise<string | null> {
  return (await database.db.selectFrom('keys').select('upstream_id').where('ref', '=', ref).executeTakeFirstOrThrow()).upstream_id;
}

/** Has the sweep look until the gateway accepts no key of a job. */
async function expectSwept(rig: ExternalRig, jobId: string): Promise<void> {
  await expect.poll(async () => sweepOnce(stack()).then(async () => acceptedKeys(rig, jobId))).toEqual([]);
}

/** Long enough that nothing but a decision keeps a key. */
async function sweepBeyondGrace(): Promise<void> {
  for (let sweeps = 0; sweeps < 4; sweeps += 1) {
    await sweepOnce(stack());
    await sleep(600);
  }
}

/** A job that has done its first turn and waits for another prompt. */
async function openJob({ gateway, models }: ExternalRig): Promise<string> {
  const { client } = stack();
  const [name = ''] = models.openai;
  const credential = { strategy: 'gateway', gateway } as const;
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', model: name, credential, budgetUsd: 5, keepOpen: '4m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  return jobId;
}

async function cancel(jobId: string): Promise<void> {
  await stack().client.jobs.cancel(jobId);
  await stack().client.jobs.result(jobId);
}

async function reset(jobId: string): Promise<void> {
  const { address, namespace } = stack().temporal;
  const connection = await Connection.connect({ address });
  const handle = new Client({ connection, namespace }).workflow.getHandle(jobId);
  const { runId } = await handle.describe();
  const { events } = await handle.fetchHistory();
  const task = (events ?? []).findLast((event) => event.workflowTaskCompletedEventAttributes != null);
  await connection.workflowService.resetWorkflowExecution({
    namespace,
    workflowExecution: { workflowId: jobId, runId },
    workflowTaskFinishEventId: task?.eventId ?? null,
    reason: 'test',
    requestId: randomUUID(),
  });
  await connection.close();
}

function plantAtOpenRouter(name: string): void {
  openrouter.fake.ledger.create({ name, limit: 1, includeByok: true, workspaceId: DEFAULT_WORKSPACE, expiresAt: Date.now() + 600_000 });
}

function plantAtPortkey(name: string): void {
  const { ledger, settings } = portkey.fake;
  const expiresAt = Date.now() + 600_000;
  ledger.create({ name, workspaceId: settings.workspaceId, scopes: ['completions.write'], limitUsd: 1, expiresAt });
}
