import type { FailureCode } from './errors.ts';

/** The place where a sweep found an orphan. */
export type FindingKind = 'closed_job' | 'ledger_key' | 'gateway_key' | 'sandbox';

/** An orphan: a key or a sandbox without a running job. */
export interface Finding {
  /** Where the sweep found it. */
  kind: FindingKind;
  /** The ref of the key, or the id of the sandbox. */
  id: string;
  /** Id of its job. */
  jobId: string;
  /** `would_end`: it was a dry run. `waits`: a second sighting is needed first. */
  action: 'ended' | 'would_end' | 'waits' | 'failed';
  /** Why it is orphaned, or why the sweep waits. */
  reason: string;
  /** The code of the failure; null for the other actions. */
  code: FailureCode | null;
}

/** The result of a sweep; `counts` includes every finding, `findings` only the first ones. */
export interface SweepReport {
  /** How many keys, jobs and sandboxes were scanned. */
  scanned: number;
  /** How many findings of each kind and action, such as `closed_job.ended`. */
  counts: Partial<Record<`${FindingKind}.${Finding['action']}`, number>>;
  /** The first findings, at most 100. */
  findings: Finding[];
  /** The codes of the parts that could not be scanned; the next sweep scans them. */
  errors: FailureCode[];
}

/** The input of a sweep. */
export interface SweepInput {
  /** Only report, end nothing. */
  dryRun: boolean;
}

/** The limit keeps a report small in Temporal's history. */
const MAX_FINDINGS = 100;

/** Combines several reports into one. */
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
