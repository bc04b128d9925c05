import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { onTestFinished } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import { formatKeyRef, type KeyRef } from '../../src/contract/ref.ts';
import type { Usage } from '../../src/contract/result.ts';
import type { GatewayKey, MeteredUsage, MintedKey, MintRequest, UpstreamKey } from '../../src/gateways/gateway.ts';
import { formatKeyName } from '../../src/gateways/key-name.ts';
import { OpenRouterGateway, type OpenRouterGatewayOptions } from '../../src/gateways/openrouter/openrouter.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { DEFAULT_WORKSPACE, type KeyRecord } from '../fakes/openrouter/ledger.ts';
import { startFakeOpenRouter, type FakeOpenRouter } from '../fakes/openrouter/server.ts';

const OWNER = 'default/test';
export const MODEL = 'anthropic/claude-sonnet-4.5';
const DIRECT = { https: null, http: null, noProxy: '' };

export interface OpenRouterRig {
  fake: FakeOpenRouter;
  gateway: OpenRouterGateway;
  /** The messages of all errors that a retry has followed. */
  errors: string[];
  /** Calls until the call resolves, as Temporal does; a refusal ends it. */
  retry<T>(call: () => Promise<T>): Promise<T>;
  /** Mints with as many attempts as it takes. */
  mint(ref: KeyRef): Promise<{ key: MintedKey; minted: UpstreamKey }>;
  /** Ends a key as keys/end-key.ts does, with every step retried. */
  end(key: GatewayKey): Promise<Usage>;
  /** Creates a key that another program or another mint has made. */
  plant(name: string): KeyRecord;
}

/** Starts OpenRouter's fake with a client of it, until the test ends; a concurrent test gives the hook of its own context. */
export async function startOpenRouterRig(
  options: Partial<OpenRouterGatewayOptions> = {},
  atEnd: (close: () => Promise<void>) => void = onTestFinished,
): Promise<OpenRouterRig> {
  const fake = await startFakeOpenRouter();
  atEnd(() => fake.close());
  const gateway = openRouterGateway(fake, options);
  const errors: string[] = [];
  const retry = async <T>(call: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!ValetkeyError.is(error)) throw error;
        errors.push(error.message);
        if (errors.length > 50) throw error;
        await sleep(20);
      }
    }
  };
  return {
    fake,
    gateway,
    errors,
    retry,
    mint: async (ref) => {
      let attempts = 0;
      const minted = await retry(async () => gateway.mint(mintRequest(ref, (attempts += 1))));
      return { key: keyToEnd({ ref, id: minted.id, attempts, mintedSecret: minted.secret }), minted };
    },
    end: async (key) => {
      await retry(async () => gateway.disable(key));
      await retry(async () => {
        if (!(await gateway.probe(keyToEnd(key))))
          throw await gateway.disable(key).then(() => new ValetkeyError('gateway_unreachable', 'accepted'));
      });
      const usage = await retry(async () => gateway.spend(key, metered(0)));
      await retry(async () => gateway.delete(key));
      return usage;
    },
    plant: (name) =>
      fake.ledger.create({ name, limit: null, includeByok: true, workspaceId: DEFAULT_WORKSPACE, expiresAt: Date.now() + 3_600_000 }),
  };
}

export function openRouterGateway(fake: FakeOpenRouter, options: Partial<OpenRouterGatewayOptions> = {}): OpenRouterGateway {
  const provisioningKey = new Secret(fake.ledger.provisioningKey);
  return new OpenRouterGateway({ baseUrl: fake.baseUrl, provisioningKey, owner: OWNER, outbound: DIRECT, ...options });
}

export function newRef(): KeyRef {
  return formatKeyRef({ jobId: `job-${randomUUID().slice(0, 8)}`, leaseId: randomUUID(), generation: 1 });
}

export function keyName(ref: KeyRef, attempt: number, owner = OWNER): string {
  return formatKeyName({ owner, ref, attempt });
}

export function mintRequest(ref: KeyRef, attempts: number, changes: Partial<MintRequest> = {}): MintRequest {
  return {
    ref,
    id: null,
    attempts,
    tenant: 'acme',
    secret: new Secret('vk-job'),
    upstreamSecret: new Secret('vk-upstream'),
    budgetUsd: 2.5,
    models: [MODEL],
    expiresAt: new Date(Date.now() + 3_600_000),
    ...changes,
  };
}

/** A key as its end knows it; without a secret of the gateway unless one is given. */
export function keyToEnd(key: GatewayKey & Partial<MintedKey>): MintedKey {
  const secrets = { secret: new Secret('vk-job'), upstreamSecret: new Secret('vk-upstream'), mintedSecret: null };
  return { ...secrets, wasMinted: true, ...key };
}

export function metered(usd: number, estimatedUsd = 0, sinceEndMs = 0): MeteredUsage {
  return { usd, estimatedUsd, inputTokens: 10, outputTokens: 5, requests: 3, completed: 2, estimated: 0, sinceEndMs };
}
