import { expect, it } from 'vitest';

import { Secret } from '../../src/secrets/secret.ts';
import { DEFAULT_WORKSPACE } from '../fakes/openrouter/ledger.ts';
import { startConnectProxy } from '../outbound/connect-proxy.ts';
import { mintRequest, newRef, openRouterGateway, startOpenRouterRig } from './openrouter-rig.ts';

it('a management key has no problem', async () => {
  const { gateway } = await startOpenRouterRig();
  expect(await gateway.check()).toEqual([]);
});

it('a wrong setting is one sentence that names it', async () => {
  const { fake } = await startOpenRouterRig();
  const check = async (options: Parameters<typeof openRouterGateway>[1]): Promise<string[]> => openRouterGateway(fake, options).check();
  const inference = fake.ledger.create({ name: 'x', limit: 1, includeByok: false, workspaceId: DEFAULT_WORKSPACE, expiresAt: null });
  expect(await check({ provisioningKey: new Secret('sk-or-v1-unknown') })).toEqual([
    expect.stringMatching(/does not accept OPENROUTER_PROVISIONING_KEY.* management key from/),
  ]);
  expect(await check({ provisioningKey: new Secret(inference.secret) })).toEqual([
    expect.stringMatching(/^OPENROUTER_PROVISIONING_KEY is a key for inference/),
  ]);
  expect(await check({ workspaceId: '11111111-2222-4333-8444-555555555555' })).toEqual([
    expect.stringMatching(/OPENROUTER_WORKSPACE_ID, with status 404/),
  ]);
  expect(await check({ workspaceId: 'mine' })).toEqual([expect.stringMatching(/OPENROUTER_WORKSPACE_ID, with status 400/)]);
  expect(await check({ baseUrl: `${fake.baseUrl}/v1` })).toEqual([expect.stringMatching(/^VALETKEY_OPENROUTER_BASE_URL .* without \/v1/)]);
  expect(await check({ baseUrl: 'http://127.0.0.1:1/api' })).toEqual([
    expect.stringMatching(/does not answer at http:\/\/127\.0\.0\.1:1: .*VALETKEY_OPENROUTER_BASE_URL/),
  ]);
});

it('an outage, a web page, guardrails that are forbidden and a wrong clock are each a problem', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const checkWith = async (...[call, fault]: Parameters<typeof fake.faults.arm>): Promise<string[]> => {
    fake.faults.arm(call, fault, { times: 1 });
    return gateway.check();
  };
  expect(await checkWith('list', { is: 'status', status: 503, when: 'before' })).toEqual([expect.stringMatching(/status 503/)]);
  expect(await checkWith('list', { is: 'status', status: 403, when: 'before' })).toEqual([
    expect.stringMatching(/OPENROUTER_PROVISIONING_KEY manage keys/),
  ]);
  expect(await checkWith('list', { is: 'malformed' })).toEqual([expect.stringMatching(/^VALETKEY_OPENROUTER_BASE_URL/)]);
  expect(await checkWith('list-guardrails', { is: 'status', status: 403, when: 'before' })).toEqual([
    expect.stringMatching(/manage guardrails/),
  ]);
  expect(await checkWith('list-guardrails', { is: 'lost', when: 'before' })).toEqual([expect.stringMatching(/no answer/)]);
  expect(await checkWith('list', { is: 'clock', offMs: -90_000 })).toEqual([expect.stringMatching(/is (89|90|91) s ahead of/)]);
  expect(await checkWith('list', { is: 'clock', offMs: 90_000 })).toEqual([expect.stringMatching(/is (89|90) s behind/)]);
  expect(await checkWith('list', { is: 'clock', offMs: 50_000 })).toEqual([]);
});

it('the calls go through the outbound proxy that is configured', async () => {
  const { fake } = await startOpenRouterRig();
  const proxy = await startConnectProxy({ 'openrouter.test': Number(new URL(fake.baseUrl).port) });
  const outbound = { https: null, http: proxy.url, noProxy: '' };
  const gateway = openRouterGateway(fake, { baseUrl: 'http://openrouter.test/api', outbound });
  expect((await gateway.mint(mintRequest(newRef(), 1))).id).toBe(fake.ledger.keys[0]?.hash);
  expect(proxy.asked.length).toBeGreaterThan(0);
  await proxy.close();
});
