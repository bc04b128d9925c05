import type { Dispatcher } from 'undici';

import type { Dialect } from '../../contract/dialect.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { Database } from '../../store/database.ts';
import type { SharedRates } from '../../store/requests.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { BodyMemory } from '../body/memory.ts';
import type { BodyReader } from '../body/request-body.ts';
import type { Admission } from '../limits/admission.ts';
import type { CostPredictor } from '../limits/cost-predictor.ts';
import type { KeyLimits } from '../limits/key-limits.ts';
import type { RefusedUses } from '../limits/refused-uses.ts';
import type { UnknownKeyThrottle } from '../limits/unknown-key-throttle.ts';
import type { Prices } from '../prices/prices.ts';
import type { RetryBudget } from '../retries/retry-budget.ts';
import type { PaidKey } from '../upstream/credentials.ts';
import type { ProxyMetrics } from './metrics.ts';
import type { OpenRequests } from './open-requests.ts';
import type { Recorder } from './record.ts';

export interface UpstreamTarget {
  origin: string;
  /** Path before the route's own; empty, or with a leading and no trailing slash. */
  prefix: string;
  dispatcher: Dispatcher;
  /** Returns the credential to send in a key's place; undefined where its requests are refused. Throws `sealed_unreadable`. */
  credential(key: PaidKey): Secret | undefined | Promise<Secret | undefined>;
}

/** The dependencies that all requests of a proxy share. */
export interface ProxyContext {
  /** Names this replica in Postgres. */
  id: string;
  database: Database;
  upstreams: Record<Dialect, UpstreamTarget>;
  idleTimeoutMs: number;
  drainTimeoutMs: number;
  /** How often a request is sent at most. */
  maxTries: number;
  retryBudgets: Record<Dialect, RetryBudget>;
  rates: SharedRates;
  prices: Prices;
  admission: Admission;
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
