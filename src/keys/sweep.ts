import type { Gateway, ListedKey } from '../gateways/gateway.ts';
import { codeOf } from '../job/errors.ts';
import type { Finding, SweepReport } from '../job/sweep.ts';
import { openKeys, readKeys } from '../store/key-ends.ts';
import { forgetSighting, markOrphan, sight, takeKeysToCheck } from '../store/sightings.ts';
import type { KeyContext } from './context.ts';
import { decideOrphan, type JobState } from './decide-orphan.ts';
import { endAtGateway, endKey } from './end-key.ts';
import type { JobRecords } from './job-records.ts';

/** Jobs and keys of one sweep. */
const BATCH = 500;
const AT_ONCE = 8;

export interface SweepContext {
  keys: KeyContext;
  jobs: JobRecords;
  /** What was made in the last so many ms is left alone. */
  graceMs: number;
  dryRun: boolean;
}

/**
 * Ends the keys of jobs that have just closed without their cleanup, as Temporal's visibility and then its record of the job tell. At
 * once: a job that is closed by its own record does not come back with the same run. Throws nothing: what fails is counted.
 */
export async function sweepClosedJobs(context: SweepContext, withinMs: number): Promise<SweepReport> {
  const { keys, jobs } = context;
  return looking(async (report) => {
    const jobIds: string[] = [];
    for await (const jobId of jobs.closedWithKeys(withinMs)) if (jobIds.push(jobId) === BATCH) break;
    report.looked = jobIds.length;
    const open = (await openKeys(keys.db, keys.owner, jobIds)).filter(({ retryAt }) => retryAt === null || retryAt.getTime() <= Date.now());
    await each(open, report, async (key) => {
      const record = await jobs.describe(key.jobId);
      if (record?.state === 'running') return null;
      const because = record === null ? 'job_unknown' : 'job_closed';
      const found = { kind: 'closed_job', id: key.ref, jobId: key.jobId, because } as const;
      return act(context, found, () => endKey(keys, key, 'swept', record?.closedAt ?? null));
    });
  });
}

/**
 * Looks at the keys of the ledger whose end is not over, those first that were looked at longest ago, each against Temporal's record of
 * its job. An end that has begun and failed is tried again. Throws nothing: what fails is counted.
 */
export async function sweepLedger(context: SweepContext): Promise<SweepReport> {
  const { keys, jobs, graceMs } = context;
  return looking(async (report) => {
    const batch = await takeKeysToCheck(keys.db, keys.owner, BATCH);
    report.looked = batch.length;
    await each(batch, report, async (key) => {
      const found = { kind: 'ledger_key', id: key.ref, jobId: key.jobId } as const;
      const end = async (): Promise<unknown> => endKey(keys, key, 'swept');
      if (key.isEnding) return act(context, { ...found, because: 'end_begun' }, end);
      const suspect = {
        job: await stateOf(jobs, key.jobId),
        madeAtMs: key.intendedAt.getTime(),
        sightedAtMs: key.orphanSince?.getTime() ?? null,
      };
      const decision = decideOrphan(suspect, Date.now(), graceMs);
      if (!context.dryRun && (suspect.job === 'running') === (key.orphanSince !== null))
        await markOrphan(keys.db, key.ref, suspect.job !== 'running');
      if (decision.do === 'keep') return null;
      if (decision.do === 'wait') return { ...found, did: 'waits', because: decision.because, code: null };
      return act(context, { ...found, because: decision.because }, end);
    });
  });
}

/**
 * Looks through what a gateway itself has of our keys, for those that the ledger does not know or takes for ended: a mint that came
 * through after its end, a ledger that was restored. Throws nothing: what fails is counted.
 */
export async function sweepGateway(context: SweepContext, gateway: Gateway): Promise<SweepReport> {
  return looking(async (report) => {
    let page: ListedKey[] = [];
    const flush = async (): Promise<void> => {
      const listed = page;
      page = [];
      report.looked += listed.length;
      await sweepListed(context, gateway, listed, report);
    };
    for await (const key of gateway.list?.() ?? []) {
      if (key.owner === context.keys.owner && page.push(key) === BATCH) await flush();
    }
    await flush();
  });
}

async function sweepListed(context: SweepContext, gateway: Gateway, listed: ListedKey[], report: SweepReport): Promise<void> {
  const { keys, jobs, graceMs } = context;
  const { db, rootKeys } = keys;
  const refs = listed.map(({ ref }) => ref);
  const known = new Map((await readKeys(db, refs)).map((key) => [key.ref, key]));
  await each(listed, report, async ({ ref, createdAt }) => {
    const key = known.get(ref);
    // The ledger's own sweep ends it.
    if (key !== undefined && !key.isOver) return null;
    const found = { kind: 'gateway_key', id: ref, jobId: ref.split('/', 1)[0] ?? '' } as const;
    // A ledger that lost it says nothing of its job.
    const job = key === undefined ? await stateOf(jobs, found.jobId) : 'closed';
    if (job === 'running') return null;
    const sightedAtMs = context.dryRun ? null : ((await sight(db, 'gateway_key', ref))?.getTime() ?? null);
    // A gateway whose clock is fast must not put off the end of its keys.
    const madeAtMs = Math.min(createdAt.getTime(), sightedAtMs ?? Date.now());
    const decision = decideOrphan({ job, madeAtMs, sightedAtMs }, Date.now(), graceMs);
    if (decision.do === 'keep') return null;
    if (decision.do === 'wait') return { ...found, did: 'waits', because: decision.because, code: null };
    return act(context, { ...found, because: key === undefined ? 'not_in_ledger' : 'ended_in_ledger' }, async () => {
      // One whose end came before its intent has none on record.
      const secret = rootKeys.derive(key === undefined || key.rootKeyId === '' ? rootKeys.currentId : key.rootKeyId, ref);
      await endAtGateway(gateway, { ref, secret, wasMinted: true });
      await forgetSighting(db, 'gateway_key', ref);
    });
  });
}

/** What Temporal says of a job. Throws `temporal_unreachable`: then nobody knows, and nothing is ended. */
export async function stateOf(jobs: JobRecords, jobId: string): Promise<JobState> {
  return (await jobs.describe(jobId))?.state ?? 'unknown';
}

/** Ends what was found, unless the run is dry; what fails is part of the finding. */
export async function act(
  { dryRun }: Pick<SweepContext, 'dryRun'>,
  found: Omit<Finding, 'did' | 'code'>,
  end: () => Promise<unknown>,
): Promise<Finding> {
  if (dryRun) return { ...found, did: 'would_end', code: null };
  try {
    await end();
    return { ...found, did: 'ended', code: null };
  } catch (error) {
    return { ...found, did: 'failed', code: codeOf(error) };
  }
}

/** A report of what `look` finds; it ends early, with the error counted, where something cannot be looked at. */
export async function looking(look: (report: SweepReport) => Promise<void>): Promise<SweepReport> {
  const report: SweepReport = { looked: 0, counts: {}, findings: [], errors: [] };
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
