import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import type { KeyRef } from '../../src/contract/ref.ts';
import { parseKeyName } from '../../src/gateways/key-name.ts';
import { PortkeyGateway } from '../../src/gateways/portkey/portkey.ts';
import { listenOnPort } from '../../src/proxy/server/listen.ts';
import { Secret } from '../../src/secrets/secret.ts';
import type { Call, Fault } from '../fakes/gateway/faults.ts';
import { DIRECT, endWithRetries, gatewayKey, gatewayOf, metered, mintRequest, mintWithRetries, OWNER } from '../fakes/portkey/client.ts';
import { COST_USD } from '../fakes/portkey/ledger.ts';
import { startFakePortkey, type FakePortkey } from '../fakes/portkey/server.ts';
import { WAIT } from '../helpers/wait.ts';
import { startConnectProxy } from '../outbound/connect-proxy.ts';

let portkey: FakePortkey;
let gateway: PortkeyGateway;
beforeEach(async () => {
  portkey = await startFakePortkey();
  gateway = gatewayOf(portkey);
});
afterEach(() => portkey.close());

/** Longer than the gateway waits for an answer. */
const TOO_SLOW_MS = 11_000;

function newRef(): { jobId: string; ref: KeyRef } {
  const jobId = `job-${randomUUID().slice(0, 8)}`;
  return { jobId, ref: `${jobId}/lease/1` };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function use(key: string, path = '/v1/chat/completions'): Promise<number> {
  const response = await fetch(`${portkey.baseUrl}${path}`, { method: 'POST', headers: { 'x-portkey-api-key': key }, body: '{}' });
  await response.text();
  return response.status;
}

async function checked(change: { baseUrl?: string; adminKey?: string; workspaceId?: string }): Promise<string[]> {
  const { baseUrl, adminKey, settings } = portkey;
  const wanted = { baseUrl, adminKey, workspaceId: settings.workspaceId, ...change };
  return new PortkeyGateway({ ...wanted, adminKey: new Secret(wanted.adminKey), owner: OWNER, outbound: DIRECT }).check();
}

describe('mint', () => {
  it('makes a key for completions only, that is limited and expires, in the name of its owner and ref', async () => {
    const { ref } = newRef();
    const expiresAt = new Date(Date.now() + 300_000);
    const upstream = await gateway.mint(mintRequest(ref, { attempts: 2, budgetUsd: 5, expiresAt }));
    const [key] = portkey.ledger.keys;
    expect(key).toMatchObject({ id: upstream.id, secret: upstream.secret.reveal(), scopes: ['completions.write'], limitUsd: 5 });
    expect(key?.expiresAt).toBe(expiresAt.getTime());
    expect(parseKeyName(key?.name ?? '')).toEqual({ owner: OWNER, ref, attempt: 2 });
    for (const path of ['/v1/chat/completions', '/v1/messages', '/v1/responses'])
      expect(await use(upstream.secret.reveal(), path)).toBe(200);
  });

  it.each([
    [1, 1],
    [2.5, 3],
    [7.000001, 8],
    [1000, 1000],
  ])('limits a key for $%d to %d whole dollars', async (budgetUsd, limitUsd) => {
    await gateway.mint(mintRequest(newRef().ref, { budgetUsd }));
    expect(portkey.ledger.keys[0]?.limitUsd).toBe(limitUsd);
  });

  it('refuses the budget of a job below a dollar, and says what to do', async () => {
    const minting = gateway.mint(mintRequest(newRef().ref, { budgetUsd: 0.99 }));
    await expect(minting).rejects.toMatchObject({
      code: 'gateway_refused',
      message: expect.stringContaining('budgetUsd of 1 or more') as unknown,
    });
    expect(portkey.ledger.keys).toEqual([]);
  });

  it('makes the next key of a job that has less than a dollar left', async () => {
    await gateway.mint(mintRequest('job/lease/2', { budgetUsd: 0.2 }));
    expect(portkey.ledger.keys[0]?.limitUsd).toBe(1);
  });

  it('deletes what earlier attempts left, on any page, and no key of another owner, ref or program', async () => {
    const { jobId, ref } = newRef();
    const other = await gatewayOf(portkey, 'default/other').mint(mintRequest(ref));
    const next = await gateway.mint(mintRequest(`${jobId}/lease/2`));
    const foreign = portkey.ledger.create({ name: 'CI', workspaceId: 'ws-test', scopes: [], limitUsd: null, expiresAt: Infinity });
    portkey.faults.arm('mint', { is: 'lost', when: 'after' }, { times: 1 });
    await expect(gateway.mint(mintRequest(ref))).rejects.toMatchObject({ code: 'gateway_unreachable' });
    for (let job = 0; job < 7; job += 1) await gateway.mint(mintRequest(newRef().ref));
    const { id } = await gateway.mint(mintRequest(ref, { attempts: 2 }));
    const left = portkey.ledger.keys.filter(({ deletedAt }) => deletedAt === null).map((key) => key.id);
    expect(left).toHaveLength(11);
    expect(left).toEqual(expect.arrayContaining([other.id, next.id, foreign.id, id]));
  });

  it('of an attempt that was overtaken leaves the key of the later one, and its end takes only its own', async () => {
    const { jobId, ref } = newRef();
    const later = await gateway.mint(mintRequest(ref, { attempts: 2 }));
    const overtaken = await gateway.mint(mintRequest(ref, { attempts: 1 }));
    await gateway.disable(gatewayKey(ref, overtaken.id, 1));
    expect(portkey.ledger.accepted(jobId).map(({ id }) => id)).toEqual([later.id]);
  });

  it('into a workspace that Portkey does not know is refused by the name of its setting', async () => {
    portkey.settings.workspaceId = 'ws-other';
    gateway = new PortkeyGateway({
      baseUrl: portkey.baseUrl,
      adminKey: new Secret(portkey.adminKey),
      workspaceId: 'ws-none',
      owner: OWNER,
      outbound: DIRECT,
    });
    await expect(gateway.mint(mintRequest(newRef().ref))).rejects.toMatchObject({
      code: 'gateway_refused',
      message: expect.stringContaining('PORTKEY_WORKSPACE_ID') as unknown,
    });
  });
});

const FAULTS: [string, Fault][] = [
  ['is lost before it is done', { is: 'lost', when: 'before' }],
  ['is lost after it was done', { is: 'lost', when: 'after' }],
  ['fails before it is done', { is: 'status', status: 503, when: 'before' }],
  ['fails after it was done', { is: 'status', status: 500, when: 'after' }],
  ['meets a limit of the rate', { is: 'status', status: 429, when: 'before', retryAfterS: 1 }],
  ['breaks in the midst of its answer', { is: 'torn' }],
  ['is answered with something else', { is: 'malformed' }],
];
const SLOW: [string, Fault][] = [
  ['is done after its caller has given up', { is: 'slow', ms: TOO_SLOW_MS, when: 'before' }],
  ['is answered after its caller has given up', { is: 'slow', ms: TOO_SLOW_MS, when: 'after' }],
];
const CALLS = ['mint', 'list', 'disable', 'probe'] as const satisfies Call[];
const TABLE = CALLS.flatMap((call) => [...FAULTS, ...SLOW].map(([how, fault]) => ({ call, how, fault })));

describe('under a fault', () => {
  // Each has a Portkey of its own, so that all wait at once.
  it.concurrent.each(TABLE)('$call that $how leaves one key that works, and none after its end', async ({ call, fault }) => {
    const own = await startFakePortkey();
    const client = gatewayOf(own);
    const { jobId, ref } = newRef();
    own.faults.arm(call, fault, { times: 1 });
    const { key, upstream } = await mintWithRetries(client, ref);
    const accepted = own.ledger.accepted(jobId);
    expect(accepted.map(({ id }) => id)).toContain(upstream.id);
    // A mint that is done only after its caller gave up can come after the next attempt looked for it.
    expect(accepted.length).toBeLessThanOrEqual(fault.is === 'slow' && call === 'mint' ? 2 : 1);
    await endWithRetries(client, key);
    expect(own.ledger.accepted(jobId)).toEqual([]);
    own.close();
  });

  it.each<[string, Call, Fault]>([
    ['a delete that is acknowledged and not done', 'disable', { is: 'ignored' }],
    ['a list that ends after its first page', 'list', { is: 'partial' }],
    ['a list that leaves out half of the keys', 'list', { is: 'flapping' }],
    ['a list with deleted keys', 'list', { is: 'stale' }],
    ['a delete of a key that is not found', 'disable', { is: 'status', status: 404, when: 'after' }],
  ])('%s keeps no key that was in use', async (_, call, fault) => {
    const { jobId, ref } = newRef();
    const { key } = await mintWithRetries(gateway, ref);
    for (let job = 0; job < 4; job += 1) await gateway.mint(mintRequest(newRef().ref));
    portkey.faults.arm(call, fault, { times: 1 });
    await endWithRetries(gateway, { ...key, attempts: 2 });
    expect(portkey.ledger.accepted(jobId)).toEqual([]);
  });

  it('a mint whose answer is lost each time leaves nothing after its end', async () => {
    const { jobId, ref } = newRef();
    portkey.faults.arm('mint', { is: 'lost', when: 'after' });
    for (const attempts of [1, 2, 3])
      await expect(gateway.mint(mintRequest(ref, { attempts }))).rejects.toMatchObject({ code: 'gateway_unreachable' });
    expect(portkey.ledger.accepted(jobId)).toHaveLength(1);
    const key = { ...mintRequest(ref, { attempts: 3 }), mintedSecret: null, wasMinted: false };
    expect(await gateway.probe(key)).toBe(false);
    await endWithRetries(gateway, key);
    expect(portkey.ledger.accepted(jobId)).toEqual([]);
  });

  it.each<Call>(['mint', 'list', 'disable', 'probe'])('%s with a refused credential says so, without the answer', async (call) => {
    const { ref } = newRef();
    const { id } = await gateway.mint(mintRequest(ref));
    portkey.faults.arm(call, { is: 'status', status: 401, when: 'before' });
    const key = { ...mintRequest(ref, { id, attempts: 2 }), mintedSecret: null, wasMinted: true };
    const calling = call === 'mint' ? gateway.mint(key) : call === 'probe' ? gateway.probe(key) : gateway.disable(key);
    await expect(calling).rejects.toMatchObject({ code: 'gateway_refused' });
  });

  it('a list that repeats its pages forever ends', async () => {
    const page = { total: 9, data: [{ id: 'a', name: 'CI', created_at: '2026-01-01T00:00:00Z' }] };
    const server = createServer((_, response) => response.end(JSON.stringify(page)));
    const baseUrl = await listenOnPort(server, '127.0.0.1', 0);
    const looping = gatewayOf({ ...portkey, baseUrl });
    await expect(collect(looping.list())).rejects.toMatchObject({ code: 'gateway_unreachable' });
    server.close();
    server.closeAllConnections();
  });
});

it('a key that Portkey has on record as deleted, and still accepts, is not revoked', async () => {
  const { key } = await mintWithRetries(gateway, newRef().ref);
  portkey.faults.arm('disable', { is: 'cached', ms: 1_500 }, { times: 1 });
  await gateway.disable(key);
  expect(await gateway.probe(key)).toBe(false);
  await vi.waitFor(async () => expect(await gateway.probe(key)).toBe(true), WAIT);
});

it('a key that was never minted is disabled, refused and without usage', async () => {
  const { ref } = newRef();
  const key = { ...mintRequest(ref, { attempts: 1 }), mintedSecret: null, wasMinted: false };
  await gateway.disable(key);
  expect(await gateway.probe(key)).toBe(true);
  expect(await gateway.spend(key, metered(0))).toMatchObject({ usd: 0 });
});

it('the list names the keys of all owners with our prefix, and no other', async () => {
  const { ref } = newRef();
  portkey.ledger.create({ name: 'CI', workspaceId: 'ws-test', scopes: [], limitUsd: null, expiresAt: Infinity });
  const ids = [await gateway.mint(mintRequest(ref)), await gatewayOf(portkey, 'other/prod').mint(mintRequest(ref))].map(({ id }) => id);
  for (let job = 0; job < 4; job += 1) await gateway.mint(mintRequest(newRef().ref));
  const listed = await collect(gateway.list());
  expect(listed).toHaveLength(6);
  expect(listed).toEqual(
    expect.arrayContaining([
      { ref, id: ids[0], owner: OWNER, createdAt: expect.any(Date) as unknown },
      { ref, id: ids[1], owner: 'other/prod', createdAt: expect.any(Date) as unknown },
    ]),
  );
});

it('the data plane refuses a key whose limit is spent with 412, and a deleted one with 401', async () => {
  const { ref } = newRef();
  const { id, secret } = await gateway.mint(mintRequest(ref, { budgetUsd: 1 }));
  for (let request = 0; request < 1 / COST_USD; request += 1) expect(await use(secret.reveal())).toBe(200);
  expect(await use(secret.reveal())).toBe(412);
  await gateway.disable(gatewayKey(ref, id));
  expect(await use(secret.reveal())).toBe(401);
});

it('no error holds the admin key, a secret or text of an answer', async () => {
  const { ref } = newRef();
  const { id, secret } = await gateway.mint(mintRequest(ref));
  const key = { ...mintRequest(ref, { id, attempts: 2 }), mintedSecret: null, wasMinted: true };
  const errors: unknown[] = [];
  for (const fault of [...FAULTS.map(([, one]) => one), { is: 'status', status: 400, when: 'before' } as const]) {
    for (const call of ['mint', 'list', 'disable', 'probe', 'spend'] as const) {
      const lift = portkey.faults.arm(call, fault);
      const calls = { mint: () => gateway.mint(key), list: () => collect(gateway.list()), disable: () => gateway.disable(key) };
      const others = { probe: () => gateway.probe(key), spend: () => gateway.spend(key, metered(9)) };
      await { ...calls, ...others }[call]().catch((error: unknown) => errors.push(error));
      lift();
    }
  }
  expect(errors.length).toBeGreaterThan(30);
  for (const error of errors) {
    expect(ValetkeyError.is(error)).toBe(true);
    const text = error instanceof Error ? `${error.message} ${error.stack} ${String(error.cause)} ${JSON.stringify(error)}` : '';
    for (const secretText of [portkey.adminKey, secret.reveal(), 'the fault says so', '<html>']) expect(text).not.toContain(secretText);
  }
});

describe('check', () => {
  it('finds nothing where all is right', async () => {
    expect(await checked({})).toEqual([]);
  });

  it('names the setting of a wrong key, a wrong workspace and a wrong address', async () => {
    expect(await checked({ adminKey: 'wrong' })).toEqual([expect.stringContaining('PORTKEY_API_KEY')]);
    expect(await checked({ workspaceId: 'ws-wrong' })).toEqual([expect.stringContaining('PORTKEY_WORKSPACE_ID')]);
    expect(await checked({ baseUrl: 'http://127.0.0.1:1' })).toEqual([expect.stringContaining('VALETKEY_PORTKEY_BASE_URL')]);
    expect(await checked({ baseUrl: `${portkey.baseUrl}/v1` })).toEqual([expect.stringContaining('VALETKEY_PORTKEY_BASE_URL')]);
  });

  it('names the scopes that a key lacks, and an outage', async () => {
    portkey.faults.arm('list', { is: 'status', status: 403, when: 'before' }, { times: 1 });
    expect(await checked({})).toEqual([expect.stringContaining('workspace_service_api_keys.create')]);
    portkey.faults.arm('list', { is: 'status', status: 503, when: 'before' }, { times: 1 });
    expect(await checked({})).toEqual([expect.stringContaining('503')]);
  });

  it.each([
    [-120_000, 'ahead of'],
    [120_000, 'behind'],
  ])('finds a clock that is %d ms off', async (offMs, word) => {
    portkey.faults.arm('list', { is: 'clock', offMs }, { times: 1 });
    expect(await checked({})).toEqual([expect.stringMatching(new RegExp(`1(19|20|21) s ${word}`))]);
  });

  it('allows a clock that is less than a minute off', async () => {
    portkey.faults.arm('list', { is: 'clock', offMs: 50_000 }, { times: 1 });
    expect(await checked({})).toEqual([]);
  });
});

it('reaches Portkey through the outbound proxy', async () => {
  const proxy = await startConnectProxy({ 'portkey.invalid': Number(new URL(portkey.baseUrl).port) });
  const through = new PortkeyGateway({
    baseUrl: 'http://portkey.invalid',
    adminKey: new Secret(portkey.adminKey),
    workspaceId: portkey.settings.workspaceId,
    owner: OWNER,
    outbound: { https: null, http: proxy.url, noProxy: '' },
  });
  const { ref } = newRef();
  const { id } = await gateway.mint(mintRequest(ref));
  await through.disable(gatewayKey(ref, id));
  expect(portkey.ledger.find(id)).toBeUndefined();
  expect(proxy.asked).toHaveLength(1);
  await proxy.close();
});
