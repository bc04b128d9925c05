import pMap from 'p-map';

import { codeOf } from '../../contract/errors.ts';
import type { Finding, SweepReport } from '../../contract/sweep.ts';
import type { Db } from '../../store/database.ts';
import { firstSighting, forgetSighting, recordSighting } from '../../store/sightings.ts';
import { decideOrphan, type JobRecordState, type Suspect } from './decide-orphan.ts';

/** Keys or sandboxes that are ended at the same time. */
export const MAX_CONCURRENT_ITEMS = 8;

/** Options of a sweep. */
export interface SweepSettings {
  /** The sweep reports what it would end, and ends nothing. */
  dryRun: boolean;
  /** ms: keys and sandboxes younger than this are kept. */
  graceMs: number;
}

/** A key or sandbox that a sweep found. Without a `reason` the finding takes the decision's. */
export type Found = Pick<Finding, 'kind' | 'id' | 'jobId'> & { reason?: string };

/** Applies the decision about an item: calls `end`, or leaves the item for the next sweep. Resolves to null where the item is kept. */
export async function applyDecision(
  options: SweepSettings,
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

/** Ends an item, unless the sweep is a dry run. A failure becomes part of the finding. */
export async function endUnlessDryRun({ dryRun }: SweepSettings, found: Required<Found>, end: () => Promise<unknown>): Promise<Finding> {
  if (dryRun) return { ...found, action: 'would_end', code: null };
  try {
    await end();
    return { ...found, action: 'ended', code: null };
  } catch (error) {
    return { ...found, action: 'failed', code: codeOf(error) };
  }
}

/**
 * Records the sighting of an item, and resolves to when an earlier sweep found it orphaned (epoch ms); to null where none did. Two
 * sightings have to follow each other, so a sweep that finds the job running deletes the earlier one. Throws `database_unreachable`.
 */
export async function updateSighting(
  { dryRun }: SweepSettings,
  db: Db,
  { kind, id }: { kind: 'sandbox' | 'gateway_key'; id: string },
  job: JobRecordState,
): Promise<number | null> {
  if (job === 'running') {
    if (!dryRun) await forgetSighting(db, kind, id);
    return null;
  }
  const first = await (dryRun ? firstSighting(db, kind, id) : recordSighting(db, kind, id));
  return first?.getTime() ?? null;
}

/** Resolves to the report that `scan` fills. An error ends the scan early and becomes part of the report. */
export async function collectReport(scan: (report: SweepReport) => Promise<void>): Promise<SweepReport> {
  const report: SweepReport = { scanned: 0, counts: {}, findings: [], errors: [] };
  try {
    await scan(report);
  } catch (error) {
    report.errors.push(codeOf(error));
  }
  return report;
}

/** Sweeps each item. A failure is counted, and the others continue. */
export async function sweepEach<T>(items: readonly T[], report: SweepReport, sweep: (item: T) => Promise<Finding | null>): Promise<void> {
  const sweepItem = async (item: T): Promise<void> => {
    try {
      const finding = await sweep(item);
      if (finding !== null) report.findings.push(finding);
    } catch (error) {
      report.errors.push(codeOf(error));
    }
  };
  await pMap(items, sweepItem, { concurrency: MAX_CONCURRENT_ITEMS });
}
