import type { FailureCode } from './errors.ts';

/** Where a sweep came upon it. */
export type FindingKind = 'closed_job' | 'ledger_key' | 'gateway_key' | 'sandbox';

/** Something that a sweep found without a job. */
export interface Finding {
  kind: FindingKind;
  /** Ref of the key, or id of the sandbox. */
  id: string;
  jobId: string;
  /** `would_end`: in a dry run. `waits`: it is looked at once more first. */
  action: 'ended' | 'would_end' | 'waits' | 'failed';
  reason: string;
  /** Of a failure. */
  code: FailureCode | null;
}

/** What a sweep found; counts are of everything, `findings` the first of it. */
export interface SweepReport {
  scanned: number;
  counts: Partial<Record<`${FindingKind}.${Finding['action']}`, number>>;
  findings: Finding[];
  /** Parts that could not be looked through, by code: their keys and sandboxes are looked at next time. */
  errors: FailureCode[];
}

/** How a sweep runs. */
export interface SweepInput {
  /** Says what it would do, and does nothing. */
  dryRun: boolean;
}

/** A report goes into Temporal's history. */
const MAX_FINDINGS = 100;

/** Adds reports up. */
export function joinReports(reports: readonly SweepReport[]): SweepReport {
  const counts: SweepReport['counts'] = {};
  for (const report of reports) {
    for (const { kind, action } of report.findings) {
      const name = `${kind}.${action}` as const;
      counts[name] = (counts[name] ?? 0) + 1;
    }
  }
  return {
    scanned: reports.reduce((total, { scanned }) => total + scanned, 0),
    counts,
    findings: reports.flatMap(({ findings }) => findings).slice(0, MAX_FINDINGS),
    errors: reports.flatMap(({ errors }) => errors),
  };
}
