import { ValetkeyError } from '../contract/errors.ts';
import { GATEWAY_TITLES, type GatewayName } from '../contract/gateway-name.ts';
import type { KeyRef } from '../contract/ref.ts';
import type { Gateway } from '../gateways/gateway.ts';
import type { Gateways } from '../gateways/index.ts';
import type { Secret } from '../secrets/secret.ts';
import type { Db } from '../store/database.ts';
import type { KeyMetrics } from '../telemetry/key-metrics.ts';
import type { RootKeys } from './derive.ts';

/** What the functions of a key's life depend on. */
export interface KeyContext {
  db: Db;
  gateways: Gateways;
  rootKeys: RootKeys;
  /** Seals a key that a gateway minted for the proxies, which alone send it. Throws `invalid_config` without their public key. */
  sealUpstreamKey(secret: Secret, ref: KeyRef): Promise<string>;
  /** Opens such a key, for a sandbox that holds it itself. Throws `sealed_unreadable` where only the proxies can. */
  openUpstreamKey(sealed: string, ref: KeyRef): Promise<Secret>;
  /** Namespace and deployment of this installation: keys of other owners are never touched. */
  owner: string;
  /** ms that a lease lasts without a renewal. */
  leaseMs: number;
  metrics: Pick<KeyMetrics, 'recordRevoked' | 'recordSweep'>;
}

/** Names the owner of an installation's keys: two installations that share a namespace or a database end only their own keys. */
export function ownerOf(namespace: string, deployment: string): string {
  return `${namespace}/${deployment}`;
}

/** Returns a gateway by its name. Throws `gateway_not_configured` for one that this worker does not have. */
export function gatewayNamed({ gateways }: Pick<KeyContext, 'gateways'>, name: GatewayName): Gateway {
  const gateway = gateways[name];
  if (gateway === undefined)
    throw new ValetkeyError('gateway_not_configured', `This worker is not configured with ${GATEWAY_TITLES[name]}.`);
  return gateway;
}
