import { codeOf } from '../../../src/contract/errors.ts';
import type { KeyRef } from '../../../src/contract/ref.ts';
import type { GatewayKey, MeteredUsage, MintedKey, MintRequest, UpstreamKey } from '../../../src/gateways/gateway.ts';
import { PortkeyGateway } from '../../../src/gateways/portkey/portkey.ts';
import { Secret } from '../../../src/secrets/secret.ts';
import type { FakePortkey } from './server.ts';

export const OWNER = 'default/test';
export const DIRECT = { https: null, http: null, noProxy: '' };

export function gatewayOf({ baseUrl, adminKey, settings: { workspaceId } }: FakePortkey, owner = OWNER): PortkeyGateway {
  return new PortkeyGateway({ baseUrl, adminKey: new Secret(adminKey), workspaceId, owner, outbound: DIRECT });
}

export function mintRequest(ref: KeyRef, change: Partial<MintRequest> = {}): MintRequest {
  const secrets = { secret: new Secret('the-jobs-own'), upstreamSecret: new Secret('never-used') };
  const limits = { budgetUsd: 5, models: ['gpt-5.1'], expiresAt: new Date(Date.now() + 600_000) };
  return { ref, id: null, attempts: 1, tenant: 'acme', ...secrets, ...limits, ...change };
}

export function metered(usd: number, estimatedUsd = 0, sinceEndMs = 0): MeteredUsage {
  return { inputTokens: 100, outputTokens: 20, requests: 4, completed: 4, usd, estimatedUsd, estimated: 0, sinceEndMs };
}

/** Mints as an activity does that Temporal retries: each attempt is counted. */
export async function mintWithRetries(gateway: PortkeyGateway, ref: KeyRef): Promise<{ key: MintedKey; upstream: UpstreamKey }> {
  for (let attempts = 1; ; attempts += 1) {
    const request = mintRequest(ref, { attempts });
    const upstream = await retryable(() => gateway.mint(request));
    if (upstream !== null) return { key: { ...request, id: upstream.id, mintedSecret: upstream.secret, wasMinted: true }, upstream };
  }
}

/** Ends a key as `endKey` does, with the retries of Temporal. */
export async function endWithRetries(gateway: PortkeyGateway, key: MintedKey): Promise<void> {
  while ((await retryable(async () => gateway.disable(key).then(() => true))) === null);
  while ((await retryable(() => gateway.probe(key))) !== true) await gateway.disable(key).catch(() => {});
}

/** Resolves to null where a retry may succeed. Temporal also retries what is refused, except a mint. */
async function retryable<T>(call: () => Promise<T>): Promise<T | null> {
  try {
    return await call();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'gateway_unreachable' || code === 'gateway_refused') return null;
    throw error;
  }
}

export function gatewayKey(ref: KeyRef, id: string | null, attempts = 1): GatewayKey {
  return { ref, id, attempts };
}
