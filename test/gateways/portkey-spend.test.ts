import { afterEach, beforeEach, expect, it } from 'vitest';

import type { KeyRef } from '../../src/contract/ref.ts';
import type { PortkeyGateway } from '../../src/gateways/portkey/portkey.ts';
import { gatewayKey, gatewayOf, metered, mintRequest } from '../fakes/portkey/client.ts';
import { startFakePortkey, type FakePortkey } from '../fakes/portkey/server.ts';

const REF: KeyRef = 'job/lease/1';

let portkey: FakePortkey;
let gateway: PortkeyGateway;
let id: string;
beforeEach(async () => {
  portkey = await startFakePortkey();
  gateway = gatewayOf(portkey);
  ({ id } = await gateway.mint(mintRequest(REF)));
});
afterEach(() => {
  portkey.close();
});

/** Has the key used `count` times, at 0.25 USD each, as Portkey records it. */
function used(count: number): void {
  const [key] = portkey.ledger.keys;
  for (let request = 0; request < count; request += 1) key?.requestsAt.push(Date.now());
}

it('is Portkey’s cost, and the proxy’s tokens and requests, also after the key is deleted', async () => {
  used(4);
  await gateway.disable(gatewayKey(REF, id));
  const usage = await gateway.spend(gatewayKey(REF, id), metered(0.9));
  expect(usage).toEqual({ usd: 1, inputTokens: 100, outputTokens: 20, requests: 4 });
});

it('waits for analytics that lag', async () => {
  portkey.settings.analyticsLagMs = 1_500;
  used(4);
  expect(await gateway.spend(gatewayKey(REF, id), metered(1))).toMatchObject({ usd: 1 });
});

it('below a cent is the proxy’s own figure, since the analytics may be in whole cents', async () => {
  expect(await gateway.spend(gatewayKey(REF, id), metered(0.004))).toMatchObject({ usd: 0.004 });
});

it('waits in vain for eight seconds, then leaves it to a retry', async () => {
  const startedAt = Date.now();
  await expect(gateway.spend(gatewayKey(REF, id), metered(1))).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(Date.now() - startedAt).toBeGreaterThan(7_900);
});

it('that was estimated in part is awaited for the whole eight seconds', async () => {
  used(3);
  const startedAt = Date.now();
  expect(await gateway.spend(gatewayKey(REF, id), metered(2, 1.5))).toMatchObject({ usd: 0.75 });
  expect(Date.now() - startedAt).toBeGreaterThan(7_900);
});

it.each([
  ['a lower figure of the analytics', 2, 0.5],
  ['the proxy’s figure where the analytics have none', 0, 1],
])('after a minute is %s', async (_, requests, usd) => {
  used(requests);
  portkey.faults.arm('spend', { is: 'status', status: 503, when: 'before' }, { times: 1 });
  await expect(gateway.spend(gatewayKey(REF, id), metered(1))).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(await gateway.spend(gatewayKey(REF, id), metered(1, 0, 60_000))).toMatchObject({ usd });
});

it('during an outage of the analytics is the proxy’s figure after a minute', async () => {
  portkey.faults.arm('spend', { is: 'lost', when: 'before' });
  await expect(gateway.spend(gatewayKey(REF, id), metered(1))).rejects.toMatchObject({ code: 'gateway_unreachable' });
  expect(await gateway.spend(gatewayKey(REF, id), metered(1, 0, 60_000))).toMatchObject({ usd: 1 });
});

it('on a plan without analytics is the proxy’s figure at once', async () => {
  portkey.settings.analyticsStatus = 403;
  expect(await gateway.spend(gatewayKey(REF, id), metered(1))).toMatchObject({ usd: 1 });
});

it('is not final while Portkey refuses our own key, which an operator replaces', async () => {
  used(4);
  const lift = portkey.faults.arm('spend', { is: 'status', status: 401, when: 'before' });
  await expect(gateway.spend(gatewayKey(REF, id), metered(0.9))).rejects.toMatchObject({ code: 'gateway_refused' });
  await expect(gateway.spend(gatewayKey(REF, id), metered(0.9, 0, 120_000))).rejects.toMatchObject({ code: 'gateway_refused' });
  lift();
  expect(await gateway.spend(gatewayKey(REF, id), metered(0.9))).toMatchObject({ usd: 1 });
});
