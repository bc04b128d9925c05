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
