import type { Gateways } from '../gateways/index.ts';
import type { Db } from '../store/database.ts';
import type { KeyMetrics } from '../telemetry/metrics.ts';
import type { RootKeys } from './derive.ts';

/** What the life of a key hangs on. */
export interface KeyContext {
  db: Db;
  gateways: Gateways;
  rootKeys: RootKeys;
  /** Namespace and deployment: keys of others are left alone. */
  owner: string;
  /** ms that a key lives without a renewal. */
  leaseMs: number;
  metrics: Pick<KeyMetrics, 'died' | 'swept'>;
}

/** Who keys belong to: two installations in one namespace, or in one database, end their own only. */
export function ownerOf(namespace: string, deployment: string): string {
  return `${namespace}/${deployment}`;
}
