import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import type { KeyRef } from '../../src/contract/ref.ts';
import type { MeteredGateway } from '../../src/gateways/gateway.ts';
import type { KeyContext } from '../../src/keys/context.ts';
import { createRootKeys } from '../../src/keys/derive.ts';
import { endKey, endRemainingKeys } from '../../src/keys/end-key.ts';
import { mintKey } from '../../src/keys/mint-key.ts';
import { renewLeases } from '../../src/keys/session-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { meteredUsage } from '../../src/store/key-usage.ts';
import { COST } from '../fakes/gateway/ledger.ts';
import { startFakeGateway } from '../fakes/gateway/server.ts';
import { newDatabase } from '../helpers/database.ts';
import { before } from '../helpers/gate.ts';
import { keyContext, mintedKey, mintedNext, wantedKey } from '../helpers/minted-key.ts';

const fake = await startFakeGateway();
const { faults, ledger } = fake;
let database: Database;
let context: KeyContext;
beforeAll(async () => {
  database = openDatabase(await newDatabase());
  await migrate(database);
  fake.owner = 'default/tests';
  context = keyContext(database.db, fake, newRootKey());
});
afterAll(async () => {
  await database.close();
  await fake.close();
});

test('the end of a key that comes while its mint is under way also ends what the mint makes', async () => {
  const key = wantedKey();
  faults.arm('mint', { is: 'slow', ms: 1_000, when: 'before' }, { jobId: key.jobId });
  const minting = mintKey(context, key, []).catch((error: unknown) => error);
  await expect.poll(() => ledger.calls.some(({ call, alias }) => call === 'mint' && alias?.includes(key.jobId))).toBe(true);
  await endKey(context, key, 'swept');
  expect(await minting).toMatchObject({ code: 'key_ended' });
  expect(ledger.keys.map(({ alias }) => alias)).toContain(aliasOf(key.ref));
  expect(ledger.live(key.jobId)).toEqual([]);
});

test('a disable that the gateway acknowledged and did not do is done by the next attempt', async () => {
  const key = await mintedKey(context);
  faults.arm('disable', { is: 'ignored' }, { jobId: key.jobId, times: 1 });
  await expect(endKey(context, key, 'job')).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(ledger.live(key.jobId)).toEqual([1]);
  await endKey(context, key, 'job');
  expect(ledger.live(key.jobId)).toEqual([]);
});

test('a key whose root key is missing is disabled', async () => {
  const key = await mintedKey(context);
  await expect(endKey({ ...context, rootKeys: createRootKeys(newRootKey()) }, key, 'job')).rejects.toMatchObject({
    code: 'root_key_missing',
  });
  expect(ledger.live(key.jobId)).toEqual([]);
});

test('what a key has spent is on record before the gateway is told to delete it', async () => {
  const key = await mintedKey(context);
  const used = ledger.find(aliasOf(key.ref));
  if (used !== undefined) used.requests = 3;
  const seen: number[] = [];
  const gateway = before<MeteredGateway>(fake.gateway, 'delete', async () => void seen.push((await meteredUsage(context.db, key.ref)).usd));
  await endKey({ ...context, gateways: { builtin: gateway } }, key, 'job');
  expect(seen).toEqual([3 * COST.usd]);
});

test('a key that cannot be ended keeps no other key of its job from its end', async () => {
  const key = await mintedKey(context);
  const next = await mintedNext(context, key);
  await expect(endRemainingKeys(failingAt('disable', next.ref), next)).rejects.toThrow('broken');
  expect(ledger.live(key.jobId)).toEqual([2]);
  await endRemainingKeys(context, next);
  expect(ledger.live(key.jobId)).toEqual([]);
});

test('a lease that cannot be renewed keeps no other of its job from its renewal', async () => {
  const key = await mintedKey(context);
  const next = await mintedNext(context, key);
  await expect(renewLeases({ ...failingAt('extend', key.ref), leaseMs: 600_000 }, key.jobId)).rejects.toThrow('broken');
  const [old = 0, renewed = 0] = [key, next].map(({ ref }) => ledger.find(aliasOf(ref))?.expiresAt);
  expect(renewed - old).toBeGreaterThan(300_000);
});

const keySchema = z.object({ ref: z.string() });

/** With a gateway that fails at one key. */
function failingAt(method: 'disable' | 'extend', broken: KeyRef): KeyContext {
  const gateway = before<MeteredGateway>(fake.gateway, method, async (_jobId, key) => {
    if (keySchema.parse(key).ref === broken) throw new Error('broken');
  });
  return { ...context, gateways: { builtin: gateway } };
}

function aliasOf(ref: KeyRef): string {
  return `valetkey/${fake.owner}/${ref}`;
}

function newRootKey(): Secret {
  return new Secret(randomBytes(32).toString('base64'));
}
