import { secretOf, statusWith } from '../../helpers/ended.ts';
import { slowly } from '../../helpers/slow-turn.ts';
import type { Lane } from '../lane.ts';
import { auditJob, until, type Audited } from './audit.ts';
import { BOUND_MS, type CaseReport } from './case.ts';
import { JOB, speaks } from './scenarios.ts';

/** More than a lease is told to be, for the look that sees its end. */
const LOOK_MS = 2_000;

/**
 * Every worker is gone for good while some jobs are in mid-turn: only the gateway, which is asked, is up. Later one comes back, and the
 * jobs are cancelled.
 */
export async function allDown(audit: Audited, lane: Lane, jobs: number): Promise<CaseReport[]> {
  const { client } = audit.stack;
  const jobIds = Array.from({ length: jobs }, (_, index) => `all-down-${index + 1}`);
  await Promise.all(
    jobIds.map(async (jobId) => {
      await client.jobs.submit({ ...JOB, deadline: '30m', prompts: [slowly(600)] }, { id: jobId });
      await speaks(audit, jobId);
    }),
  );
  await lane.workers.halt();
  const haltedMs = Date.now();
  const waits = jobIds.map(async (jobId) => {
    const refs = (await client.jobs.status(jobId)).keys.map(({ ref }) => ref);
    const refused = async (): Promise<number | null> => {
      const states = await Promise.all(refs.map(async (ref) => statusWith(lane, secretOf(lane, ref))));
      return states.every((status) => status === 401) ? Date.now() : null;
    };
    return until(refused, BOUND_MS.all_down + LOOK_MS);
  });
  const refusedMs = await Promise.all(waits);
  await lane.workers.start();
  return Promise.all(
    jobIds.map(async (jobId, index) => {
      await client.jobs.cancel(jobId);
      const report = await auditJob(audit, jobId, { name: jobId, cause: 'all_down', fromMs: Date.now() });
      const revokedMs = refusedMs[index] ?? null;
      const orphans = report.orphans + (revokedMs === null ? 1 : 0);
      return { ...report, orphans, secondsToDead: revokedMs === null ? null : (revokedMs - haltedMs) / 1000 };
    }),
  );
}
