import type { SweepReport } from '../job/sweep.ts';
import type { KeyContext } from '../keys/context.ts';
import { decideOrphan } from '../keys/decide-orphan.ts';
import type { JobRecords } from '../keys/job-records.ts';
import { act, each, looking, stateOf, sweepClosedJobs, sweepGateway, sweepLedger } from '../keys/sweep.ts';
import type { Sandboxes } from '../sandboxes/index.ts';
import { listHosts, noteHost } from '../store/hosts.ts';
import { forgetSighting, sight } from '../store/sightings.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

/** A sweep of closed jobs looks at those of the last ten minutes: what it missed in them, the inventory finds. */
const CLOSED_WITHIN_MS = 10 * 60_000;

export interface SweepDeps {
  keys: KeyContext;
  jobs: JobRecords;
  sandboxes: Sandboxes;
  graceMs: number;
  /** Of this host. */
  hostTaskQueue: string;
}

export function sweepActivities(deps: SweepDeps): Pick<Activities, 'sweepJobs' | 'sweepKeys' | 'sweepSandboxes' | 'findHosts'> {
  const { keys, jobs, sandboxes, graceMs, hostTaskQueue } = deps;
  const tell = (reports: SweepReport[]): SweepReport[] => {
    for (const report of reports) keys.metrics.swept(report);
    return reports;
  };
  return {
    sweepJobs: async ({ dryRun }) => tell([await sweepClosedJobs({ keys, jobs, graceMs, dryRun }, CLOSED_WITHIN_MS)]),

    sweepKeys: async ({ dryRun }) => {
      const context = { keys, jobs, graceMs, dryRun };
      const lists = Object.values(keys.gateways).map(async (gateway) => sweepGateway(context, gateway));
      return tell(await Promise.all([sweepLedger(context), ...lists]));
    },

    sweepSandboxes: async ({ dryRun }) => {
      await noteHost(keys.db, keys.owner, hostTaskQueue).catch(() => {});
      return tell(await Promise.all(Object.values(sandboxes).map(async (provider) => sweepProvider(deps, provider, dryRun))));
    },

    findHosts: async () => {
      try {
        return await listHosts(keys.db, keys.owner);
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}

async function sweepProvider(
  { keys: { db }, jobs, graceMs }: SweepDeps,
  provider: Sandboxes[keyof Sandboxes],
  dryRun: boolean,
): Promise<SweepReport> {
  return looking(async (report) => {
    const listed = await provider.list();
    report.looked = listed.length;
    await each(listed, report, async ({ id, jobId, startedAt }) => {
      const job = await stateOf(jobs, jobId);
      if (job === 'running') {
        // Two looks that find it lost have to follow each other.
        if (!dryRun) await forgetSighting(db, 'sandbox', id);
        return null;
      }
      const found = { kind: 'sandbox', id, jobId } as const;
      const sightedAtMs = dryRun ? null : ((await sight(db, 'sandbox', id))?.getTime() ?? null);
      const decision = decideOrphan({ job, madeAtMs: startedAt.getTime(), sightedAtMs }, Date.now(), graceMs);
      if (decision.do === 'keep') return null;
      if (decision.do === 'wait') return { ...found, did: 'waits', because: decision.because, code: null };
      return act({ dryRun }, { ...found, because: decision.because }, async () => {
        await provider.stop(jobId);
        await forgetSighting(db, 'sandbox', id);
      });
    });
  });
}
