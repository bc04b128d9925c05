// Apart from what records them: `Adapters` of valetkey/worker holds these types, and Temporal's declarations do not compile without skipLibCheck.
import type { EndCause } from '../contract/key.ts';
import type { SweepReport } from '../contract/sweep.ts';

/** The number of an installation's keys in the ledger, by state. */
export interface KeyCounts {
  active: number;
  stuck: number;
  /** Seconds since the oldest orphaned key was found orphaned; 0 where there is none. */
  oldestOrphanSeconds: number;
}

/** A worker's metrics about keys. */
export interface KeyMetrics {
  setCounts(counts: KeyCounts): void;
  /** Records that a request with a key was refused, `ms` after the key was last needed. */
  recordRevoked(cause: EndCause, ms: number): void;
  recordSweep(report: SweepReport): void;
}
