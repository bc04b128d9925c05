import { codeOf } from '../../contract/errors.ts';
import type { Finding, SweepReport } from '../../contract/sweep.ts';
import type { Db } from '../../store/database.ts';
import { firstSighting, forgetSighting, sight } from '../../store/sightings.ts';
import { decideOrphan, type JobState, type Suspect } from './decide-orphan.ts';

const AT_ONCE = 8;

/** How a sweep looks. */
export interface Look {
  /** Says what it would do, and does nothing. */
  dryRun: boolean;
  /** What was made in the last so many ms is left alone. */
  graceMs: number;
}

/** Something that a sweep came upon. Without `because` the decision's own reason is told. */
export type Found = Pick<Finding, 'kind' | 'id' | 'jobId'> & { because?: string };

/** What becomes of something that was found: `end` ends it, or it waits for another look; null: it is left alone. */
export async function judge(look: Look, found: Found, suspect: Suspect, end: () => Promise<unknown>): Promise<Finding | null> {
  const decision = decideOrphan(suspect, Date.now(), look.graceMs);
  switch (decision.do) {
    case 'keep':
      return null;
    case 'wait':
      return { ...found, did: 'waits', because: decision.because, code: null };
    case 'end':
      return act(look, { because: decision.because, ...found }, end);
  }
}

/** Ends what was found, unless the run is dry; what fails is part of the finding. */
export async function act({ dryRun }: Look, found: Required<Found>, end: () => Promise<unknown>): Promise<Finding> {
  if (dryRun) return { ...found, did: 'would_end', code: null };
  try {
    await end();
    return { ...found, did: 'ended', code: null };
  } catch (error) {
    return { ...found, did: 'failed', code: codeOf(error) };
  }
}

/**
 * When earlier looks found it without its job, epoch ms, null: never. This look is noted: two that find it lost have to follow each
 * other, so one that finds its job makes them begin anew. Throws `database_unreachable`.
 */
export async function sightedAt(
  { dryRun }: Look,
  db: Db,
  { kind, id }: { kind: 'sandbox' | 'gateway_key'; id: string },
  job: JobState,
): Promise<number | null> {
  if (job === 'running') {
    if (!dryRun) await forgetSighting(db, kind, id);
    return null;
  }
  const first = await (dryRun ? firstSighting(db, kind, id) : sight(db, kind, id));
  return first?.getTime() ?? null;
}

/** A report of what `look` finds; it ends early, with the error counted, where something cannot be looked at. */
export async function looking(look: (report: SweepReport) => Promise<void>): Promise<SweepReport> {
  const report: SweepReport = { scanned: 0, counts: {}, findings: [], errors: [] };
  try {
    await look(report);
  } catch (error) {
    report.errors.push(codeOf(error));
  }
  return report;
}

/** Looks at each; one that fails is counted and keeps no other from its turn. */
export async function each<T>(items: readonly T[], report: SweepReport, look: (item: T) => Promise<Finding | null>): Promise<void> {
  await someAtOnce(items, async (item) => {
    try {
      const finding = await look(item);
      if (finding !== null) report.findings.push(finding);
    } catch (error) {
      report.errors.push(codeOf(error));
    }
  });
}

/** Does the work on every item, some of them at a time. Throws what the work throws. */
export async function someAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const workOff = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, workOff));
}
