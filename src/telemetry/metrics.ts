import type { MetricMeter } from '@temporalio/common';

import type { KeyMetrics } from './key-metrics.ts';

/** Creates a gauge of the jobs whose workflow task keeps failing. */
export function createStuckJobsGauge(meter: MetricMeter): (jobs: number) => void {
  const gauge = meter.createGauge('valetkey_stuck_jobs', 'int', undefined, 'Jobs whose workflow task keeps failing');
  return (jobs) => gauge.set(jobs);
}

/** Creates the metrics on the meter of Temporal's SDK, so that one address serves both. */
export function createKeyMetrics(meter: MetricMeter): KeyMetrics {
  const active = meter.createGauge('valetkey_active_keys', 'int', undefined, 'Keys that the gateway accepts');
  const stuck = meter.createGauge(
    'valetkey_stuck_keys',
    'int',
    undefined,
    'Keys that repeated attempts have not revoked, settled or deleted',
  );
  const orphan = meter.createGauge('valetkey_oldest_orphan_age', 'float', 's', 'Seconds since the oldest orphaned key was found');
  const timeToRevoked = meter.createHistogram(
    'valetkey_key_time_to_revoked',
    'float',
    's',
    'Seconds from the end of a key’s use to a refused request',
  );
  const findings = meter.createCounter('valetkey_sweep_findings', undefined, 'Orphaned keys and sandboxes that sweeps found');
  const errors = meter.createCounter('valetkey_sweep_errors', undefined, 'Items that sweeps failed to check');
  return {
    setCounts(counts) {
      active.set(counts.active);
      stuck.set(counts.stuck);
      orphan.set(counts.oldestOrphanSeconds);
    },
    recordRevoked(cause, ms) {
      timeToRevoked.record(Math.max(0, ms) / 1000, { cause });
    },
    recordSweep(report) {
      for (const { kind, action, reason } of report.findings) findings.add(1, { kind, action, reason });
      for (const code of report.errors) errors.add(1, { code });
    },
  };
}
