import { proxyActivities, sleep, workflowInfo } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';
import { joinReports, type SweepInput, type SweepReport } from '../job/sweep.ts';

/** What fails is in the report, and what could not even report is done by the next sweep. */
const ONCE = { startToCloseTimeout: '2m', retry: { maximumAttempts: 1 } } as const;
/** A sweep that always runs over its time ends after so many times of it, so that its history does. */
const MAX_TIMES = 10;

/**
 * Finds and ends what has lost its job: takes an inventory of ledger, gateways and hosts, and meanwhile looks again and again at the
 * jobs that closed. Hangs on nothing of the job's own workflow.
 */
export async function sweep({ dryRun, everyMs, forMs }: SweepInput): Promise<SweepReport> {
  let inventory: SweepReport[] | null = null;
  const taken = takeInventory(dryRun).then((reports) => (inventory = reports));
  const { sweepJobs } = proxyActivities<Activities>({ ...ONCE, summary: 'closed jobs' });
  const reports: SweepReport[] = [];
  const startedMs = workflowInfo().startTime.getTime();
  while (true) {
    reports.push(...(await attempt(sweepJobs({ dryRun }))));
    // While the inventory takes its time no other sweep starts, so this one goes on.
    const isTaken = inventory !== null || forMs === 0;
    if (isTaken && isLastRound(Date.now() - startedMs, everyMs, forMs)) break;
    await sleep(everyMs, { summary: 'until the next look' });
  }
  return joinReports([...(await taken), ...reports]);
}

/**
 * Its schedule starts the next sweep after each `forMs`, unless this one still runs: so it ends right before such a moment, and one
 * that missed it goes on to the next.
 */
function isLastRound(passedMs: number, everyMs: number, forMs: number): boolean {
  if (forMs <= everyMs || passedMs > MAX_TIMES * forMs) return true;
  return (passedMs % forMs) + everyMs > forMs - everyMs / 2;
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
  return reports.catch(() => [{ looked: 0, counts: {}, findings: [], errors: ['no_worker' as const] }]);
}
