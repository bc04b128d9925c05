import type { SweepReport } from '../contract/sweep.ts';
import type { KeyContext } from '../keys/context.ts';
import type { JobRecords } from '../keys/sweep/job-records.ts';
import { sweepSandboxes } from '../keys/sweep/sweep-sandboxes.ts';
import { sweepClosedJobs, sweepGateway, sweepLedger } from '../keys/sweep/sweep.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import { presentHosts } from '../store/workers.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

/** A sweep of closed jobs covers the last ten minutes; the inventory finds what it missed. */
const CLOSED_JOBS_WINDOW_MS = 10 * 60_000;

export interface SweepDeps {
  keys: KeyContext;
  jobs: JobRecords;
  sandboxes: Sandboxes;
  graceMs: number;
}

export function sweepActivities(deps: SweepDeps): Pick<Activities, 'sweepJobs' | 'sweepKeys' | 'sweepSandboxes' | 'findHosts'> {
  const { keys, jobs, sandboxes, graceMs } = deps;
  const recordReports = (reports: SweepReport[]): SweepReport[] => {
    for (const report of reports) keys.metrics.recordSweep(report);
    return reports;
  };
  return {
    sweepJobs: async ({ dryRun }) => recordReports([await sweepClosedJobs({ keys, jobs, graceMs, dryRun }, CLOSED_JOBS_WINDOW_MS)]),

    sweepKeys: async ({ dryRun }) => {
      const context = { keys, jobs, graceMs, dryRun };
      const lists = Object.values(keys.gateways).map(async (gateway) => sweepGateway(context, gateway));
      return recordReports(await Promise.all([sweepLedger(context), ...lists]));
    },

    sweepSandboxes: async ({ dryRun }) => {
      return recordReports(
        await Promise.all(Object.values(sandboxes).map(async (provider) => sweepSandboxes({ keys, jobs, graceMs, dryRun }, provider))),
      );
    },

    findHosts: async () => {
      try {
        return await presentHosts(keys.db, keys.owner);
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
