import type { Gateways } from '../gateways/index.ts';
import type { Db } from '../store/database.ts';
import type { KeyMetrics } from '../telemetry/key-metrics.ts';
import type { RootKeys } from './derive.ts';

/** What the functions of a key's life depend on. */
export interface KeyContext {
  db: Db;
  gateways: Gateways;
  rootKeys: RootKeys;
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
