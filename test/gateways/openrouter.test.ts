import { expect, it } from 'vitest';

import type { ListedKey } from '../../src/gateways/gateway.ts';
import { decideSpend } from '../../src/gateways/openrouter/decide-spend.ts';
import { COST } from '../fakes/openrouter/ledger.ts';
import { MODEL, keyName, keyToEnd, metered, mintRequest, newRef, openRouterGateway, startOpenRouterRig } from './openrouter-rig.ts';

async function listed(keys: AsyncIterable<ListedKey>): Promise<ListedKey[]> {
  const all: ListedKey[] = [];
  for await (const key of keys) all.push(key);
  return all;
}

it('a minted key has the budget, an expiry in whole seconds, the models and a name that says whose it is', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const ref = newRef();
  const expiresAt = new Date('2099-01-02T03:04:05.678Z');
  const minted = await gateway.mint(mintRequest(ref, 1, { expiresAt }));
  const [key] = fake.ledger.keys;
  expect(key).toMatchObject({ hash: minted.id, secret: minted.secret.reveal(), name: keyName(ref, 1), limit: 2.5, includeByok: true });
  expect(key?.expiresAt).toBe(Date.parse('2099-01-02T03:04:06Z'));
  expect(key === undefined ? null : fake.ledger.modelsOf(key)).toEqual([MODEL]);
});

it('a job whose budget is spent gets a key with a limit all the same', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  await gateway.mint(mintRequest(newRef(), 1, { budgetUsd: 0 }));
  expect(fake.ledger.keys[0]?.limit).toBe(0.01);
});

it('a mint whose answer was lost is repeated: one key is left, and none after its end', async () => {
  const rig = await startOpenRouterRig();
  rig.fake.faults.arm('mint', { is: 'lost', when: 'after' }, { times: 2 });
  const { key } = await rig.mint(newRef());
  expect(key.attempts).toBe(3);
  expect(rig.fake.ledger.accepted().map(({ hash }) => hash)).toEqual([key.id]);
  await rig.end(key);
  expect(rig.fake.ledger.keys.every(({ deletedAt }) => deletedAt !== null)).toBe(true);
});

it('the end of a key whose every answer was lost finds it by its name', async () => {
  const rig = await startOpenRouterRig();
  const ref = newRef();
  rig.fake.faults.arm('mint', { is: 'lost', when: 'after' });
  await expect(rig.gateway.mint(mintRequest(ref, 1))).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(rig.fake.ledger.accepted()).toHaveLength(1);
  await rig.end({ ref, id: null, attempts: 1 });
  expect(rig.fake.ledger.keys.every(({ deletedAt }) => deletedAt !== null)).toBe(true);
});

it('an attempt that is done after its successor leaves the successor’s key, and the end of the ref takes both', async () => {
  const rig = await startOpenRouterRig();
  const ref = newRef();
  const second = await rig.gateway.mint(mintRequest(ref, 2));
  const first = await rig.gateway.mint(mintRequest(ref, 1));
  expect(
    rig.fake.ledger
      .accepted()
      .map(({ hash }) => hash)
      .toSorted(),
  ).toEqual([first.id, second.id].toSorted());
  await rig.end({ ref, id: second.id, attempts: 2 });
  expect(rig.fake.ledger.keys.every(({ deletedAt }) => deletedAt !== null)).toBe(true);
});

it('the end of an overtaken attempt takes only its own key', async () => {
  const rig = await startOpenRouterRig();
  const ref = newRef();
  const first = await rig.gateway.mint(mintRequest(ref, 1));
  const other = rig.plant(keyName(ref, 2));
  await rig.gateway.disable({ ref, id: first.id, attempts: 1 });
  await rig.gateway.delete({ ref, id: first.id, attempts: 1 });
  expect(rig.fake.ledger.accepted()).toEqual([other]);
});

it('a key on the third page of the list is found, and keys that are deleted between two pages hide none', async () => {
  const rig = await startOpenRouterRig();
  const ref = newRef();
  const old = rig.plant(keyName(ref, 1));
  for (let index = 0; index < 250; index += 1) rig.plant(`program ${index}`);
  rig.fake.faults.arm('list', { is: 'slow', ms: 100, when: 'after' }, { times: 1 });
  const minting = rig.gateway.mint(mintRequest(ref, 2));
  await expect.poll(() => rig.fake.ledger.calls.length).toBe(1);
  for (const key of rig.fake.ledger.keys.slice(-5)) key.deletedAt = Date.now();
  await minting;
  expect(old.deletedAt).not.toBeNull();
  expect(rig.fake.ledger.keys.filter(({ name, deletedAt }) => name.startsWith('program') && deletedAt === null)).toHaveLength(245);
});

it('a list that lost more keys between two pages than the pages share fails instead of hiding some', async () => {
  const rig = await startOpenRouterRig();
  for (let index = 0; index < 250; index += 1) rig.plant(keyName(newRef(), 1));
  rig.fake.faults.arm('list', { is: 'slow', ms: 100, when: 'after' }, { times: 1 });
  const listing = listed(rig.gateway.list());
  await expect.poll(() => rig.fake.ledger.calls.length).toBe(1);
  for (const key of rig.fake.ledger.keys.slice(-50)) key.deletedAt = Date.now();
  await expect(listing).rejects.toMatchObject({ code: 'gateway_unreachable' });
});

it('keys of other owners, of other refs and of other programs are left as they are', async () => {
  const rig = await startOpenRouterRig();
  const ref = newRef();
  const foreign = [rig.plant(keyName(ref, 1, 'default/other')), rig.plant(keyName(newRef(), 1)), rig.plant(ref), rig.plant('mine')];
  rig.fake.faults.arm('mint', { is: 'lost', when: 'after' }, { times: 1 });
  const { key } = await rig.mint(ref);
  await rig.end(key);
  expect(rig.fake.ledger.accepted()).toEqual(foreign);
  expect(foreign.every(({ disabledAt }) => disabledAt === null)).toBe(true);
});

it('the list has every key with our prefix once, disabled ones included, with its id and owner', async () => {
  const rig = await startOpenRouterRig();
  const refs = Array.from({ length: 205 }, newRef);
  const keys = refs.map((ref, index) => rig.plant(keyName(ref, 1, index === 7 ? 'default/other' : undefined)));
  rig.plant('a key of another program');
  for (const key of keys.slice(0, 3)) key.disabledAt = Date.now();
  const all = await listed(rig.gateway.list());
  expect(all.map(({ ref }) => ref).toSorted()).toEqual(refs.toSorted());
  expect(all.find(({ ref }) => ref === refs[7])).toMatchObject({ id: keys[7]?.hash, owner: 'default/other' });
});

it('keys are managed in the configured workspace', async () => {
  const workspaceId = '11111111-2222-4333-8444-555555555555';
  const rig = await startOpenRouterRig({ workspaceId });
  rig.fake.ledger.workspaces.add(workspaceId);
  const { key } = await rig.mint(newRef());
  expect(rig.fake.ledger.keys[0]).toMatchObject({ hash: key.id, workspaceId });
  expect(await listed(rig.gateway.list())).toHaveLength(1);
  expect(await listed(openRouterGateway(rig.fake).list())).toHaveLength(0);
});

it('keys of the same tenant and models share a guardrail, in another worker as well; another set of models has its own', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const both = [MODEL, 'openai/gpt-5'];
  await Promise.all([newRef(), newRef()].map(async (ref) => gateway.mint(mintRequest(ref, 1, { models: both }))));
  await openRouterGateway(fake).mint(mintRequest(newRef(), 1, { models: both.toReversed() }));
  expect(fake.ledger.guardrails).toHaveLength(1);
  await gateway.mint(mintRequest(newRef(), 1));
  await gateway.mint(mintRequest(newRef(), 1, { tenant: 'other' }));
  await openRouterGateway(fake, { owner: 'default/other' }).mint(mintRequest(newRef(), 1));
  expect(fake.ledger.guardrails).toHaveLength(4);
  expect(new Set(fake.ledger.guardrails.map(({ name }) => name)).size).toBe(4);
});

it('a guardrail behind the first page of the list is found again', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  await gateway.mint(mintRequest(newRef(), 1));
  const [ours] = fake.ledger.guardrails.splice(0);
  const workspaceId = ours?.workspaceId ?? '';
  for (let index = 0; index < 150; index += 1) fake.ledger.createGuardrail({ name: `g${index}`, allowedModels: null, workspaceId });
  if (ours !== undefined) fake.ledger.guardrails.push(ours);
  await openRouterGateway(fake).mint(mintRequest(newRef(), 1));
  expect(fake.ledger.guardrails).toHaveLength(151);
});

it('a guardrail that an operator has deleted is created again by the next attempt', async () => {
  const rig = await startOpenRouterRig();
  await rig.mint(newRef());
  rig.fake.ledger.guardrails.splice(0);
  const { key } = await rig.mint(newRef());
  expect(key.attempts).toBe(2);
  expect(rig.fake.ledger.find(key.id ?? '')?.guardrailId).toBe(rig.fake.ledger.guardrails[0]?.id);
});

it('a key whose allow-list is refused is deleted and not handed out', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  fake.faults.arm('assign-guardrail', { is: 'status', status: 403, when: 'before' });
  await expect(gateway.mint(mintRequest(newRef(), 1))).rejects.toMatchObject({ code: 'gateway_refused' });
  expect(fake.ledger.keys).toHaveLength(1);
  expect(fake.ledger.accepted()).toHaveLength(0);
});

it('a key that is still accepted is not revoked, and a disabled or deleted one is', async () => {
  const rig = await startOpenRouterRig();
  const { key } = await rig.mint(newRef());
  rig.fake.faults.arm('disable', { is: 'ignored' }, { times: 1 });
  await rig.gateway.disable(key);
  expect(await rig.gateway.probe(key)).toBe(false);
  await rig.gateway.disable(key);
  expect(await rig.gateway.probe(key)).toBe(true);
  await rig.gateway.delete(key);
  expect(await rig.gateway.probe(key)).toBe(true);
  expect(await rig.gateway.probe(keyToEnd({ ref: newRef(), id: null, attempts: 0 }))).toBe(true);
});

it('a key that OpenRouter has on record as disabled, and still accepts, is not revoked', async () => {
  const rig = await startOpenRouterRig();
  const { key } = await rig.mint(newRef());
  rig.fake.faults.arm('disable', { is: 'cached', ms: 1_500 }, { times: 1 });
  await rig.gateway.disable(key);
  expect(await rig.gateway.probe(key)).toBe(false);
  await expect.poll(() => rig.gateway.probe(key)).toBe(true);
});

it('a key that is unknown to the account of another credential, and is accepted, is not revoked', async () => {
  const rig = await startOpenRouterRig();
  const { key } = await rig.mint(newRef());
  rig.fake.faults.arm('read', { is: 'status', status: 404, when: 'before' });
  expect(await rig.gateway.probe(key)).toBe(false);
});

it('every step of an end resolves for a key that OpenRouter does not know', async () => {
  const { gateway } = await startOpenRouterRig();
  const key = { ref: newRef(), id: 'f'.repeat(64), attempts: 2 };
  await gateway.disable(key);
  expect(await gateway.spend(key, metered(0.5))).toEqual({ usd: 0.5, inputTokens: 10, outputTokens: 5, requests: 3 });
  await gateway.delete(key);
});

it('a key does not count as revoked where the base URL leads elsewhere', async () => {
  const { fake } = await startOpenRouterRig();
  const elsewhere = openRouterGateway(fake, { baseUrl: `${fake.baseUrl}/v1` });
  const key = { ref: newRef(), id: 'f'.repeat(64), attempts: 1 };
  await expect(elsewhere.disable(key)).rejects.toMatchObject({ code: 'gateway_refused' });
  await expect(elsewhere.probe(keyToEnd(key))).rejects.toMatchObject({ code: 'gateway_refused' });
  await expect(elsewhere.delete(key)).rejects.toMatchObject({ code: 'gateway_refused' });
});

it('a key without its limit or its expiry is deleted and not handed out', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const create = fake.ledger.create.bind(fake.ledger);
  fake.ledger.create = (wanted, offMs) => create({ ...wanted, expiresAt: null }, offMs);
  await expect(gateway.mint(mintRequest(newRef(), 1))).rejects.toMatchObject({ code: 'gateway_refused' });
  fake.ledger.create = (wanted, offMs) => create({ ...wanted, limit: null }, offMs);
  await expect(gateway.mint(mintRequest(newRef(), 1))).rejects.toMatchObject({ code: 'gateway_refused' });
  expect(fake.ledger.accepted()).toHaveLength(0);
});

it('the spend is what OpenRouter charged for all keys of the ref, keys of providers included, with the tokens of the proxy', async () => {
  const rig = await startOpenRouterRig();
  const ref = newRef();
  const lost = rig.plant(keyName(ref, 1));
  const key = rig.plant(keyName(ref, 2));
  rig.fake.ledger.charge(lost, 0.1);
  rig.fake.ledger.charge(key, 0.2);
  rig.fake.ledger.charge(key, 0.4, true);
  const usage = await rig.gateway.spend({ ref, id: key.hash, attempts: 2 }, metered(0.1));
  expect(usage).toEqual({ usd: 0.7, inputTokens: 10, outputTokens: 5, requests: 3 });
});

it('the spend waits until OpenRouter’s figure covers what the proxy has metered', async () => {
  const rig = await startOpenRouterRig();
  const { key } = await rig.mint(newRef());
  rig.fake.ledger.usageLagMs = 800;
  for (const record of rig.fake.ledger.keys) rig.fake.ledger.charge(record, COST.usd);
  await rig.gateway.disable(key);
  expect(await rig.gateway.spend(key, metered(COST.usd))).toMatchObject({ usd: COST.usd });
  expect(await rig.gateway.spend(key, metered(1, 0.995))).toMatchObject({ usd: COST.usd });
});

it('the spend fails after 8 s with a figure that is too low, and takes it a minute after the end of the key began', async () => {
  const rig = await startOpenRouterRig();
  const { key } = await rig.mint(newRef());
  const [record] = rig.fake.ledger.keys;
  if (record === undefined) throw new Error('no key');
  rig.fake.ledger.charge(record, 0.3);
  await rig.gateway.disable(key);
  const startedMs = performance.now();
  await expect(rig.gateway.spend(key, metered(0.4))).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  expect(await rig.gateway.spend(key, metered(0.4, 0, 60_001))).toMatchObject({ usd: 0.3 });
});

it.each([
  [{ gatewayUsd: 0.4, meteredUsd: 0.4 }, 'settle'],
  [{ gatewayUsd: 0.4, meteredUsd: 0.400_000_9 }, 'settle'],
  [{ gatewayUsd: 0.4, meteredUsd: 0.400_002 }, 'wait'],
  [{ gatewayUsd: 0.4, meteredUsd: 0.5, estimatedUsd: 0.1 }, 'settle'],
  [{ gatewayUsd: 0.5, meteredUsd: 0.4 }, 'settle'],
  [{ gatewayUsd: 0.1, meteredUsd: 0.4, sinceEndMs: 60_000 }, 'wait'],
  [{ gatewayUsd: 0.1, meteredUsd: 0.4, sinceEndMs: 60_001 }, 'settle'],
  [{ gatewayUsd: 0.1, meteredUsd: 0.4, sinceEndMs: -5_000 }, 'wait'],
])('a spend of %o leads to: %s', (reading, action) => {
  expect(decideSpend({ estimatedUsd: 0, sinceEndMs: 0, ...reading }).action).toBe(action);
});

it('a list that never answers ends after 10 s', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  fake.faults.arm('list', { is: 'slow', ms: 15_000, when: 'after' });
  const startedMs = performance.now();
  await expect(gateway.mint(mintRequest(newRef(), 1))).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(performance.now() - startedMs).toBeLessThan(13_000);
});
