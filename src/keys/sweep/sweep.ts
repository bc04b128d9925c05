import { parseKeyRef } from '../../contract/ref.ts';
import type { SweepReport } from '../../contract/sweep.ts';
import type { Gateway, ListedKey } from '../../gateways/gateway.ts';
import { openKeys, readKeys } from '../../store/key-ends.ts';
import { giveUpSandboxes } from '../../store/sandboxes.ts';
import { forgetSighting, keysToCheck, markOrphan } from '../../store/sightings.ts';
import { announceStop } from '../../store/stop-notices.ts';
import type { KeyContext } from '../context.ts';
import { endAtGateway, endKey } from '../end-key.ts';
import type { JobState } from './decide-orphan.ts';
import type { JobRecords } from './job-records.ts';
import { endUnlessDryRun, sweepEach, applyDecision, collectReport, sightedAt, type SweepOptions } from './sweep-runner.ts';

/** Jobs and keys of one sweep. */
const BATCH = 500;

export interface SweepContext extends SweepOptions {
  keys: KeyContext;
  jobs: JobRecords;
}

/**
 * Ends the keys of jobs that have just closed without their cleanup, as Temporal's visibility and then its record of the job tell. At
 * once: a job that is closed by its own record does not come back with the same run. Throws nothing: what fails is counted.
 */
export async function sweepClosedJobs(context: SweepContext, withinMs: number): Promise<SweepReport> {
  const { keys, jobs } = context;
  return collectReport(async (report) => {
    const jobIds: string[] = [];
    for await (const jobId of jobs.closedWithKeys(withinMs)) if (jobIds.push(jobId) === BATCH) break;
    report.scanned = jobIds.length;
    const open = (await openKeys(keys.db, keys.owner, jobIds)).filter(({ retryAt }) => retryAt === null || retryAt.getTime() <= Date.now());
    await sweepEach(open, report, async (key) => {
      const record = await jobs.describe(key.jobId);
      if (record?.state === 'running') return null;
      const reason = record === null ? 'job_unknown' : 'job_closed';
      const found = { kind: 'closed_job', id: key.ref, jobId: key.jobId, reason } as const;
      return endUnlessDryRun(context, found, async () => {
        await endKey(keys, key, 'swept', record?.closedAt ?? null);
        await giveUpSandboxes(keys.db, { jobId: key.jobId });
        await announceStop(keys.db, key.jobId);
      });
    });
  });
}

/**
 * Looks at the keys of the ledger whose end is not over, those first that were looked at longest ago, each against Temporal's record of
 * its job. An end that was begun and left is tried again. Throws nothing: what fails is counted.
 */
export async function sweepLedger(context: SweepContext): Promise<SweepReport> {
  const { keys, jobs, dryRun } = context;
  return collectReport(async (report) => {
    const batch = await keysToCheck(keys.db, keys.owner, BATCH, { take: !dryRun });
    report.scanned = batch.length;
    await sweepEach(batch, report, async (key) => {
      const found = { kind: 'ledger_key', id: key.ref, jobId: key.jobId } as const;
      const job = await stateOf(jobs, key.jobId);
      const suspect = {
        job,
        createdAtMs: key.intendedAt.getTime(),
        sightedAtMs: key.orphanSince?.getTime() ?? null,
        endingAtMs: key.endingAt?.getTime() ?? null,
      };
      const isOrphan = job !== 'running';
      if (!dryRun && isOrphan !== (key.orphanSince !== null)) await markOrphan(keys.db, key.ref, isOrphan);
      return applyDecision(context, found, suspect, () => endKey(keys, key, 'swept'));
    });
  });
}

/**
 * Looks through what a gateway itself has of our keys, for those that the ledger does not know or takes for ended: a mint that came
 * through after its end, a ledger that was restored. Throws nothing: what fails is counted.
 */
export async function sweepGateway(context: SweepContext, gateway: Gateway): Promise<SweepReport> {
  return collectReport(async (report) => {
    let page: ListedKey[] = [];
    const flush = async (): Promise<void> => {
      const listed = page;
      page = [];
      report.scanned += listed.length;
      await sweepListed(context, gateway, listed, report);
    };
    for await (const key of gateway.list?.() ?? []) {
      if (key.owner === context.keys.owner && page.push(key) === BATCH) await flush();
    }
    await flush();
  });
}

async function sweepListed(context: SweepContext, gateway: Gateway, listed: ListedKey[], report: SweepReport): Promise<void> {
  const { keys, jobs } = context;
  const { db, rootKeys } = keys;
  const refs = listed.map(({ ref }) => ref);
  const known = new Map((await readKeys(db, refs)).map((key) => [key.ref, key]));
  await sweepEach(listed, report, async ({ ref, createdAt }) => {
    const key = known.get(ref);
    // The ledger's own sweep ends it.
    if (key !== undefined && !key.isOver) return null;
    const { jobId } = parseKeyRef(ref);
    const reason = key === undefined ? 'not_in_ledger' : 'ended_in_ledger';
    const found = { kind: 'gateway_key', id: ref, jobId, reason } as const;
    // A ledger that lost it says nothing of its job.
    const job = key === undefined ? await stateOf(jobs, jobId) : 'closed';
    const sightedAtMs = await sightedAt(context, db, found, job);
    // A gateway whose clock is fast must not put off the end of its keys.
    const createdAtMs = Math.min(createdAt.getTime(), sightedAtMs ?? Date.now());
    return applyDecision(context, found, { job, createdAtMs, sightedAtMs, endingAtMs: null }, async () => {
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
