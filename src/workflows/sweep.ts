import { proxyActivities } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';
import { sweepProblem } from '../contract/check-requests.ts';
import { joinReports, type SweepInput, type SweepReport } from '../contract/sweep.ts';
import { rejectMalformed } from './reject.ts';

/** What fails is in the report, and what could not even report is done by the next sweep. */
const ONCE = { startToCloseTimeout: '2m', retry: { maximumAttempts: 1 } } as const;

/**
 * Finds and ends orphans: takes an inventory of ledger, gateways and hosts, and looks at the jobs that closed. Depends on nothing
 * of the job's own workflow.
 */
export async function sweep(input: SweepInput): Promise<SweepReport> {
  rejectMalformed('sweep', sweepProblem(input));
  const { dryRun } = input;
  const { sweepJobs } = proxyActivities<Activities>({ ...ONCE, summary: 'closed jobs' });
  const [inventory, closed] = await Promise.all([takeInventory(dryRun), attempt(sweepJobs({ dryRun }))]);
  return joinReports([...inventory, ...closed]);
}

async function takeInventory(dryRun: boolean): Promise<SweepReport[]> {
  const { sweepKeys, findHosts } = proxyActivities<Activities>({ ...ONCE, summary: 'keys' });
  const [keys, hosts] = await Promise.all([attempt(sweepKeys({ dryRun })), findHosts().catch(() => [])]);
  const sandboxes = await Promise.all(
    hosts.map(async (taskQueue) => {
      const options = { ...ONCE, taskQueue, scheduleToStartTimeout: '10s', summary: 'sandboxes of a host' } as const;
      return attempt(proxyActivities<Activities>(options).sweepSandboxes({ dryRun }));
    }),
  );
  return [...keys, ...sandboxes.flat()];
}

async function attempt(reports: Promise<SweepReport[]>): Promise<SweepReport[]> {
  return reports.catch(() => [{ scanned: 0, counts: {}, findings: [], errors: ['no_worker' as const] }]);
}
