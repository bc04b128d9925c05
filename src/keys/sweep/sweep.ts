import { parseKeyRef } from '../../contract/ref.ts';
import type { SweepReport } from '../../contract/sweep.ts';
import type { Gateway, ListedKey } from '../../gateways/gateway.ts';
import { openKeys, readKeys } from '../../store/key-ends.ts';
import { giveUpSandboxes } from '../../store/sandboxes.ts';
import { forgetSighting, keysToCheck, markOrphan } from '../../store/sightings.ts';
import { announceStop } from '../../store/stop-notices.ts';
import type { KeyContext } from '../context.ts';
import { endAtGateway, endKey } from '../end-key.ts';
import type { JobRecordState } from './decide-orphan.ts';
import type { JobRecords } from './job-records.ts';
import { endUnlessDryRun, sweepEach, applyDecision, collectReport, updateSighting, type SweepSettings } from './sweep-runner.ts';

/** The most jobs, or keys, of one sweep. */
const MAX_BATCH_SIZE = 500;

export interface SweepContext extends SweepSettings {
  keys: KeyContext;
  jobs: JobRecords;
}

/**
 * Ends the keys of jobs that closed without their cleanup in the last `withinMs`. Visibility names the jobs, and Temporal's own record
 * of each job confirms that it is closed. No grace period: a closed run never runs again. Throws nothing: failures are counted.
 */
export async function sweepClosedJobs(context: SweepContext, withinMs: number): Promise<SweepReport> {
  const { keys, jobs } = context;
  return collectReport(async (report) => {
    const jobIds: string[] = [];
    for await (const jobId of jobs.listClosedWithKeys(withinMs)) if (jobIds.push(jobId) === MAX_BATCH_SIZE) break;
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
 * Compares each key of the ledger whose end is not over with Temporal's record of its job, and ends the orphans; the keys that were
 * checked longest ago come first. An end that was begun and abandoned is retried. Throws nothing: failures are counted.
 */
export async function sweepLedger(context: SweepContext): Promise<SweepReport> {
  const { keys, jobs, dryRun } = context;
  return collectReport(async (report) => {
    const batch = await keysToCheck(keys.db, keys.owner, MAX_BATCH_SIZE, { take: !dryRun });
    report.scanned = batch.length;
    await sweepEach(batch, report, async (key) => {
      const found = { kind: 'ledger_key', id: key.ref, jobId: key.jobId } as const;
      const job = await readJobState(jobs, key.jobId);
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
 * Compares a gateway's own list of our keys with the ledger, and ends those that the ledger does not know or has as ended: after a mint
 * that succeeded after the end of its ref, or a restore of the ledger. Throws nothing: failures are counted.
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
      if (key.owner === context.keys.owner && page.push(key) === MAX_BATCH_SIZE) await flush();
    }
    await flush();
  });
}

async function sweepListed(context: SweepContext, gateway: Gateway, listed: ListedKey[], report: SweepReport): Promise<void> {
  const { keys, jobs } = context;
  const { db, rootKeys } = keys;
  const refs = listed.map(({ ref }) => ref);
  const known = new Map((await readKeys(db, refs)).map((key) => [key.ref, key]));
  await sweepEach(listed, report, async ({ ref, id, createdAt }) => {
    const key = known.get(ref);
    // The sweep of the ledger ends this key.
    if (key !== undefined && !key.isOver) return null;
    const { jobId } = parseKeyRef(ref);
    const reason = key === undefined ? 'not_in_ledger' : 'ended_in_ledger';
    const found = { kind: 'gateway_key', id: ref, jobId, reason } as const;
    // Only where the ledger has lost the key may its job still run.
    const job = key === undefined ? await readJobState(jobs, jobId) : 'closed';
    const sightedAtMs = await updateSighting(context, db, found, job);
    // A gateway whose clock is ahead must not delay the end of its keys.
    const createdAtMs = Math.min(createdAt.getTime(), sightedAtMs ?? Date.now());
    return applyDecision(context, found, { job, createdAtMs, sightedAtMs, endingAtMs: null }, async () => {
      // A key whose end was recorded before its intent has no root key in the ledger.
      const rootKeyId = key === undefined || key.rootKeyId === '' ? rootKeys.currentId : key.rootKeyId;
      const secrets = { secret: rootKeys.derive(rootKeyId, ref), upstreamSecret: rootKeys.deriveUpstream(rootKeyId, ref) };
      await endAtGateway(gateway, { ref, id, attempts: 1, ...secrets, mintedSecret: null, wasMinted: true });
      await forgetSighting(db, 'gateway_key', ref);
    });
  });
}

/** Reads a job's state from Temporal's record. Throws `temporal_unreachable`: the state is then unknown, and nothing is ended. */
export async function readJobState(jobs: JobRecords, jobId: string): Promise<JobRecordState> {
  return (await jobs.describe(jobId))?.state ?? 'unknown';
}
