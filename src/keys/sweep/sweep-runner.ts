import { codeOf } from '../../contract/errors.ts';
import type { Finding, SweepReport } from '../../contract/sweep.ts';
import type { Db } from '../../store/database.ts';
import { firstSighting, forgetSighting, recordSighting } from '../../store/sightings.ts';
import { decideOrphan, type JobState, type Suspect } from './decide-orphan.ts';

const AT_ONCE = 8;

/** Options of a sweep. */
export interface SweepOptions {
  /** Reports what it would end, and ends nothing. */
  dryRun: boolean;
  /** ms: keys and sandboxes that were created later are kept. */
  graceMs: number;
}

/** A key or sandbox that a sweep found. Without `reason` the finding has the decision's own reason. */
export type Found = Pick<Finding, 'kind' | 'id' | 'jobId'> & { reason?: string };

/** Applies the decision about what was found: `end` ends it, or it waits for the next sweep. Resolves to null where it is kept. */
export async function applyDecision(
  options: SweepOptions,
  found: Found,
  suspect: Suspect,
  end: () => Promise<unknown>,
): Promise<Finding | null> {
  const decision = decideOrphan(suspect, Date.now(), options.graceMs);
  switch (decision.action) {
    case 'keep':
      return null;
    case 'wait':
      return { ...found, action: 'waits', reason: decision.reason, code: null };
    case 'end':
      return endUnlessDryRun(options, { reason: decision.reason, ...found }, end);
  }
}

/** Ends what was found, unless the run is dry. A failure is part of the finding. */
export async function endUnlessDryRun({ dryRun }: SweepOptions, found: Required<Found>, end: () => Promise<unknown>): Promise<Finding> {
  if (dryRun) return { ...found, action: 'would_end', code: null };
  try {
    await end();
    return { ...found, action: 'ended', code: null };
  } catch (error) {
    return { ...found, action: 'failed', code: codeOf(error) };
  }
}

/**
 * Resolves to when an earlier sweep found it orphaned, epoch ms; to null where none did. This sighting is recorded: two have to follow each
 * other, so a sweep that finds its job running forgets the earlier one. Throws `database_unreachable`.
 */
export async function sightedAt(
  { dryRun }: SweepOptions,
  db: Db,
  { kind, id }: { kind: 'sandbox' | 'gateway_key'; id: string },
  job: JobState,
): Promise<number | null> {
  if (job === 'running') {
    if (!dryRun) await forgetSighting(db, kind, id);
    return null;
  }
  const first = await (dryRun ? firstSighting(db, kind, id) : recordSighting(db, kind, id));
  return first?.getTime() ?? null;
}

/** Resolves to the report that `scan` fills. An error ends it early and is part of the report. */
export async function collectReport(scan: (report: SweepReport) => Promise<void>): Promise<SweepReport> {
  const report: SweepReport = { scanned: 0, counts: {}, findings: [], errors: [] };
  try {
    await scan(report);
  } catch (error) {
    report.errors.push(codeOf(error));
  }
  return report;
}

/** Sweeps each item. One that fails is counted, and the others go on. */
export async function sweepEach<T>(items: readonly T[], report: SweepReport, sweep: (item: T) => Promise<Finding | null>): Promise<void> {
  await someAtOnce(items, async (item) => {
    try {
      const finding = await sweep(item);
      if (finding !== null) report.findings.push(finding);
    } catch (error) {
      report.errors.push(codeOf(error));
    }
  });
}

/** Runs the work on every item, eight at a time. Throws what the work throws. */
export async function someAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const workOff = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, workOff));
}
