import type { Database } from '../../store/database.ts';
import type { SharedRates } from '../../store/requests.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { BodyMemory } from '../body/memory.ts';
import type { BodyReader } from '../body/request-body.ts';
import type { BudgetHolders } from '../forward/budget-holders.ts';
import type { Admission } from '../limits/admission.ts';
import type { CostPredictor } from '../limits/cost-predictor.ts';
import type { KeyLimits } from '../limits/key-limits.ts';
import type { RefusedUses } from '../limits/refused-uses.ts';
import type { UnknownKeyThrottle } from '../limits/unknown-key-throttle.ts';
import type { Prices } from '../prices/prices.ts';
import type { Subscriptions } from '../subscriptions/subscriptions.ts';
import type { UpstreamCredentials } from '../upstream/credentials.ts';
import type { Targets } from '../upstream/targets.ts';
import type { ProxyMetrics } from './metrics.ts';
import type { OpenRequests } from './open-requests.ts';
import type { Recorder } from './record.ts';

/** The dependencies that all requests of a proxy share. */
export interface ProxyContext {
  /** Names this replica in Postgres. */
  id: string;
  database: Database;
  targets: Targets;
  credentials: UpstreamCredentials;
  subscriptions: Subscriptions;
  idleTimeoutMs: number;
  drainTimeoutMs: number;
  /** How often a request is sent at most. */
  maxTries: number;
  rates: SharedRates;
  prices: Prices;
  admission: Admission;
  budgetHolders: BudgetHolders;
  costPredictor: CostPredictor;
  bodies: BodyReader;
  bodyMemory: BodyMemory;
  keyLimits: KeyLimits;
  unknownKeys: UnknownKeyThrottle;
  refusedUses: RefusedUses;
  open: OpenRequests;
  recorder: Recorder;
  metrics: ProxyMetrics;
  logger: Logger | undefined;
}
