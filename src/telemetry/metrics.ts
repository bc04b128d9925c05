import type { MetricMeter } from '@temporalio/common';

import type { EndCause } from '../contract/key.ts';
import type { SweepReport } from '../contract/sweep.ts';

/** What the ledger says of an installation's keys at a moment. */
export interface KeyCounts {
  active: number;
  stuck: number;
  /** Seconds since the oldest key that has no job was found so; 0: there is none. */
  oldestOrphanSeconds: number;
}

/** What a worker tells of keys to whoever scrapes it. */
export interface KeyMetrics {
  counted(counts: KeyCounts): void;
  /** A key was seen refused; `ms` from the moment when it had no use any more. */
  died(cause: EndCause, ms: number): void;
  swept(report: SweepReport): void;
}

/** Sets the number of jobs whose workflow task fails again and again. */
export function createStuckJobsGauge(meter: MetricMeter): (jobs: number) => void {
  const gauge = meter.createGauge('valetkey_stuck_jobs', 'int', undefined, 'Jobs whose workflow task fails again and again');
  return (jobs) => gauge.set(jobs);
}

/** Over the meter of Temporal's SDK, so that they stand beside its own at one address. */
export function createKeyMetrics(meter: MetricMeter): KeyMetrics {
  const active = meter.createGauge('valetkey_active_keys', 'int', undefined, 'Keys that the gateway accepts');
  const stuck = meter.createGauge('valetkey_stuck_keys', 'int', undefined, 'Keys whose end was tried and did not succeed yet');
  const orphan = meter.createGauge('valetkey_oldest_orphan_age', 'float', 's', 'Seconds since the oldest key without a job was found');
  const timeToRevoked = meter.createHistogram(
    'valetkey_key_time_to_revoked',
    'float',
    's',
    'Seconds from the end of a key’s use to a refused request',
  );
  const findings = meter.createCounter('valetkey_sweep_findings', undefined, 'What sweeps found without a job');
  const errors = meter.createCounter('valetkey_sweep_errors', undefined, 'What sweeps could not look at');
  return {
    counted(counts) {
      active.set(counts.active);
      stuck.set(counts.stuck);
      orphan.set(counts.oldestOrphanSeconds);
    },
    died(cause, ms) {
      timeToRevoked.record(Math.max(0, ms) / 1000, { cause });
    },
    swept(report) {
      for (const { kind, action, reason } of report.findings) findings.add(1, { kind, action, reason });
      for (const code of report.errors) errors.add(1, { code });
    },
  };
}
