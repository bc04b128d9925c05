import { join } from 'node:path';

import { secretOf, statusWith } from '../../helpers/ended.ts';
import { slowly } from '../../helpers/slow-turn.ts';
import type { Lane } from '../lane.ts';
import { inBatches, type PlannedPoint } from '../points.ts';
import { auditJob, until, type Audited } from './audit.ts';
import type { CaseReport } from './case.ts';
import { ROOT, withChange, type Change } from './changed-copy.ts';
import { AT_ONCE, crash } from './crash.ts';
import { JOB, speaks, type Scenario } from './scenarios.ts';

const PROGRAM = 'test/proofs/worker.ts';
/** Another text in what the jobs do next, which Temporal does not compare. */
export const NEWER: Change = {
  file: 'workflows/sandbox-job/job-keys.ts',
  text: `cleanupActivities('revoke the key',`,
  replacement: `cleanupActivities('revoke its key',`,
};
/** Other steps than those in the histories of jobs that run: their workflows cannot go on with it. */
export const INCOMPATIBLE: Change = {
  file: 'workflows/sandbox-job/run-work.ts',
  text: 'return together([sandbox.start(), keys.mint()])',
  replacement: 'return together([sandbox.start(), keys.mint(), sandbox.start()])',
};
/** ms: a turn ends, its last lease is over, and somebody looks. */
const STUCK_MS = 60_000;

/** The worker dies while each of some jobs stands at a point of its own, and the next one is of a newer build: they go on with it. */
export async function newerBuild(audit: Audited, lane: Lane, scenario: Scenario, points: readonly PlannedPoint[]): Promise<CaseReport[]> {
  return withChange(NEWER, async (copy) => {
    const reports: CaseReport[] = [];
    for (const [index, batch] of inBatches(points, AT_ONCE).entries()) {
      await replaceWorker(lane, ROOT);
      lane.workers.use(join(copy, PROGRAM));
      reports.push(...(await crash(audit, lane, { ...scenario, name: `newer-build-${index + 1}` }, batch)));
    }
    await replaceWorker(lane, ROOT);
    return reports;
  });
}

/**
 * Jobs in mid-turn whose worker is replaced by one of a build that cannot go on with their workflows: nothing ends them, so their keys
 * die of their lease. The older build then ends the jobs.
 */
export async function incompatibleBuild(audit: Audited, lane: Lane): Promise<CaseReport[]> {
  return withChange(INCOMPATIBLE, async (copy) => {
    const jobIds = await inMidTurn(audit);
    const refs = (await Promise.all(jobIds.map(async (jobId) => audit.stack.client.jobs.status(jobId)))).flatMap(({ keys }) => keys);
    await replaceWorker(lane, copy);
    const refused = async (): Promise<true | null> => {
      const states = await Promise.all(refs.map(async ({ ref }) => statusWith(lane, secretOf(lane, ref))));
      return states.every((status) => status === 401) ? true : null;
    };
    const isRefused = await until(refused, STUCK_MS);
    const states = await Promise.all(jobIds.map(async (jobId) => (await audit.jobs.describe(jobId))?.state));
    if (states.some((state) => state !== 'running')) throw new Error('a job went on with a build that cannot go on with it');
    await replaceWorker(lane, ROOT);
    const reports = await Promise.all(
      jobIds.map(async (jobId) => auditJob(audit, jobId, { name: jobId, cause: 'worker_killed', fromMs: null })),
    );
    if (isRefused !== null) return reports;
    return reports.map((report) => ({ ...report, orphans: report.orphans + 1, complaints: [`${report.name}: its lease did not end`] }));
  });
}

async function inMidTurn(audit: Audited): Promise<string[]> {
  return Promise.all(
    Array.from({ length: 3 }, async (_, index) => {
      const jobId = `incompatible-build-${index + 1}`;
      await audit.stack.client.jobs.submit({ ...JOB, prompts: [slowly(8)] }, { id: jobId });
      await speaks(audit, jobId);
      return jobId;
    }),
  );
}

/** As a deploy does it: the worker that is there is told to end, the next one is of the build in a folder. */
async function replaceWorker(lane: Lane, folder: string): Promise<void> {
  const ended = lane.workers.ended();
  lane.workers.use(join(folder, PROGRAM));
  lane.workers.kill('SIGTERM');
  await ended;
  await lane.workers.ready();
}
