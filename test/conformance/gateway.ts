// What every gateway does, whatever mints the key. Each gateway's test starts the gateway itself, real or faked, and names what it cannot do.
import { createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { gatewayDescriptions } from '../../src/gateways/descriptions.ts';
import type { Gateway, GatewayKey, MeteredUsage, MintedKey, MintRequest } from '../../src/gateways/gateway.ts';
import { deriveSecret } from '../../src/keys/derive.ts';
import type { Secret } from '../../src/secrets/secret.ts';

export const MODEL = 'gpt-5.1';
export const OTHER_MODEL = 'gpt-5.1-codex';
/** What the owner of the suite's keys is called. */
export const OWNER = 'default/conformance';

/** A gateway under test. */
export interface GatewayRig {
  gateway: Gateway;
  /** A second client of it whose credential is wrong; null where there is no credential. */
  misconfigured: Gateway | null;
  /** A client of an address where nothing answers. */
  unreachable: Gateway;
  /** What the caller (keys/) does beside the gateway: records the mint, the end. */
  minted?(request: MintRequest): Promise<void>;
  ended?(key: MintedKey): Promise<void>;
  extended?(key: MintedKey, expiresAt: Date): Promise<void>;
  /** Calls a model with what the proxy would send, and resolves to the status. */
  call(key: Secret, model: string): Promise<number>;
  /** USD that all calls have cost so far, by what the gateway's answers state, or by its provider's own record. */
  usd(): number;
  close(): Promise<void>;
}

/** The methods that a gateway may lack. */
export interface Abilities {
  extend: boolean;
  delete: boolean;
  list: boolean;
  /** It has settings that can be wrong: an address of its own, and our credential there. */
  check: boolean;
  /** A key of it dies by itself, without a worker of ours. */
  expires: boolean;
  /** The gateway itself refuses another model than the key's. */
  refusesModels: boolean;
}

/** Registers the tests of a gateway. */
export function describeGateway(name: string, start: () => Promise<GatewayRig>, abilities: Abilities): void {
  describe(`the gateway ${name}`, () => {
    let rig: GatewayRig;
    const rootKey = createSecretKey(randomBytes(32));
    beforeAll(async () => {
      rig = await start();
    });
    afterAll(() => rig.close());

    const wanted = (change: Partial<MintRequest> = {}): MintRequest => {
      const ref = change.ref ?? (`job-${randomUUID()}/lease/1` as const);
      return {
        ref,
        id: null,
        attempts: 1,
        tenant: 'acme',
        secret: deriveSecret(rootKey, ref),
        upstreamSecret: deriveSecret(rootKey, ref, 'upstream key'),
        budgetUsd: 4,
        models: [MODEL],
        expiresAt: new Date(Date.now() + 120_000),
        ...change,
      };
    };
    /** Mints, and resolves to the key with what the proxy would send. */
    const mint = async (request: MintRequest): Promise<MintedKey & { sent: Secret }> => {
      const minted = await rig.gateway.mint(request);
      await rig.minted?.(request);
      return {
        ...request,
        id: minted?.id ?? null,
        mintedSecret: minted?.secret ?? null,
        wasMinted: true,
        sent: minted?.secret ?? request.secret,
      };
    };
    const end = async (key: MintedKey): Promise<void> => {
      await rig.gateway.disable(key);
      await rig.ended?.(key);
      await expect.poll(async () => rig.gateway.probe(key)).toBe(true);
    };

    test('a key is accepted from its mint to its end, and refused from then on', async () => {
      const key = await mint(wanted());
      expect(await rig.call(key.sent, MODEL)).toBe(200);
      await end(key);
      expect(await rig.call(key.sent, MODEL)).toBe(401);
      await rig.gateway.delete?.(key);
      expect(await rig.call(key.sent, MODEL)).toBe(401);
    });

    test('a mint that is repeated leaves one key, which is accepted', async () => {
      const request = wanted();
      await mint(request);
      const key = await mint({ ...request, attempts: 2 });
      expect(await rig.call(key.sent, MODEL)).toBe(200);
      expect((await keysOf(rig.gateway, request.ref))?.length).toBe(abilities.list ? 1 : undefined);
      await end({ ...key, attempts: 2 });
      await rig.gateway.delete?.({ ...key, attempts: 2 });
      expect((await keysOf(rig.gateway, request.ref))?.length).toBe(abilities.list ? 0 : undefined);
    });

    test('a key whose answer was lost is ended by its ref alone', async () => {
      const key = await mint(wanted());
      const lost = { ...key, id: null, wasMinted: false };
      await end(lost);
      expect(await rig.call(key.sent, MODEL)).toBe(401);
      await rig.gateway.delete?.(lost);
    });

    test('every step of an end can be repeated, also once the key is deleted', async () => {
      const key = await mint(wanted());
      await end(key);
      for (let time = 1; time <= 2; time += 1) {
        await rig.gateway.disable(key);
        expect(await rig.gateway.probe(key)).toBe(true);
        await rig.gateway.delete?.(key);
      }
    });

    test('a key that was never minted is ended without a fault', async () => {
      const unknown: MintedKey = { ...wanted(), mintedSecret: null, wasMinted: false };
      await rig.gateway.disable(unknown);
      expect(await rig.gateway.probe(unknown)).toBe(true);
      expect(await rig.gateway.spend(unknown, NO_USAGE)).toMatchObject({ usd: 0, requests: 0 });
      await rig.gateway.delete?.(unknown);
    });

    test('eight requests at once with money for all of them are all served', async () => {
      const key = await mint(wanted());
      const statuses = await Promise.all(Array.from({ length: 8 }, () => rig.call(key.sent, MODEL)));
      expect(statuses).toEqual(Array.from({ length: 8 }, () => 200));
      await end(key);
      await rig.gateway.delete?.(key);
    });

    test('what a key has spent is what its requests cost', async () => {
      const key = await mint(wanted());
      const beforeUsd = rig.usd();
      for (let time = 1; time <= 3; time += 1) expect(await rig.call(key.sent, MODEL)).toBe(200);
      await end(key);
      const usd = rig.usd() - beforeUsd;
      expect(usd).toBeGreaterThan(0);
      const metered = { ...NO_USAGE, requests: 3, completed: 3, usd, inputTokens: 1, outputTokens: 1 };
      await expect.poll(async () => spendOf(rig.gateway, key, metered)).toBeCloseTo(usd, 9);
      await rig.gateway.delete?.(key);
    });

    test.runIf(abilities.refusesModels)('a key is good for its models only', async () => {
      const key = await mint(wanted());
      expect(await rig.call(key.sent, OTHER_MODEL)).toBeGreaterThanOrEqual(400);
      await end(key);
      await rig.gateway.delete?.(key);
    });

    test('it is as docs/gateways.md describes it', async () => {
      const { secret, refusesModels } = gatewayDescriptions[rig.gateway.name];
      const key = await mint(wanted());
      const isDerived = [key.secret, key.upstreamSecret].some((known) => known.reveal() === key.sent.reveal());
      expect({ isDerived, refusesModels }).toEqual({ isDerived: secret === 'derived', refusesModels: abilities.refusesModels });
      await end(key);
      await rig.gateway.delete?.(key);
    });

    test.runIf(abilities.expires)('a key that nobody ends expires by itself', async () => {
      const key = await mint(wanted({ expiresAt: new Date(Date.now() + 3_000) }));
      expect(await rig.call(key.sent, MODEL)).toBe(200);
      await expect.poll(async () => rig.call(key.sent, MODEL), { timeout: 30_000 }).toBe(401);
      await end(key);
    });

    test('what the gateway cannot do is an absent method', () => {
      const present = (['extend', 'delete', 'list', 'check'] as const).filter((method) => rig.gateway[method] !== undefined);
      expect(present).toEqual((['extend', 'delete', 'list', 'check'] as const).filter((method) => abilities[method]));
    });

    test.runIf(abilities.extend)('its expiry can be moved', async () => {
      const key = await mint(wanted({ expiresAt: new Date(Date.now() + 4_000) }));
      const expiresAt = new Date(Date.now() + 120_000);
      await rig.gateway.extend?.(key, expiresAt);
      await rig.extended?.(key, expiresAt);
      await sleep(5_000);
      expect(await rig.call(key.sent, MODEL)).toBe(200);
      await end(key);
    });

    test.runIf(abilities.list)('its keys can be listed', async () => {
      const key = await mint(wanted());
      expect(await keysOf(rig.gateway, key.ref)).toMatchObject([{ ref: key.ref, owner: OWNER, id: key.id }]);
      await end(key);
      await rig.gateway.delete?.(key);
    });

    test('a gateway that does not answer says so', async () => {
      await expect(rig.unreachable.mint(wanted())).rejects.toMatchObject({ code: 'gateway_unreachable' });
    });

    test.runIf(abilities.check)('a gateway that refuses our credential says so, and shows no secret', async () => {
      const request = wanted();
      const refused: unknown = await rig.misconfigured?.mint(request).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'gateway_refused' });
      expect(String(refused)).not.toContain(request.upstreamSecret.reveal());
    });

    test.runIf(abilities.check)('what a worker checks at its start finds nothing, or names the setting', async () => {
      expect(await rig.gateway.check?.()).toEqual([]);
      expect(await rig.misconfigured?.check?.()).toEqual([expect.stringMatching(/[A-Z]+_[A-Z_]+/)]);
      expect(await rig.unreachable.check?.()).toEqual([expect.stringMatching(/_BASE_URL/)]);
    });
  });
}

const NO_USAGE: MeteredUsage = {
  inputTokens: 0,
  outputTokens: 0,
  requests: 0,
  usd: 0,
  estimatedUsd: 0,
  completed: 0,
  estimated: 0,
  sinceEndMs: 0,
};

/** The keys of a ref in the gateway's own list; null where it has none. */
async function keysOf(gateway: Gateway, ref: GatewayKey['ref']): Promise<object[] | null> {
  if (gateway.list === undefined) return null;
  const keys: object[] = [];
  for await (const key of gateway.list()) if (key.ref === ref) keys.push(key);
  return keys;
}

async function spendOf(gateway: Gateway, key: GatewayKey, metered: MeteredUsage): Promise<number | null> {
  return gateway.spend(key, metered).then(
    ({ usd }) => usd,
    () => null,
  );
}
