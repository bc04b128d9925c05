import type { SweepReport } from '../../contract/sweep.ts';
import type { SandboxProvider } from '../../sandboxes/sandbox.ts';
import { forgetSandbox } from '../../store/sandboxes.ts';
import { forgetSighting } from '../../store/sightings.ts';
import { sweepEach, applyDecision, collectReport, updateSighting } from './sweep-runner.ts';
import { readJobState, type SweepContext } from './sweep.ts';

/** Compares each sandbox of a provider with Temporal's record of its job, and stops the orphans. Throws nothing: failures are counted. */
export async function sweepSandboxes(context: SweepContext, provider: SandboxProvider): Promise<SweepReport> {
  const { keys, jobs } = context;
  return collectReport(async (report) => {
    const listed = await provider.list();
    report.scanned = listed.length;
    await sweepEach(listed, report, async ({ id, jobId, startedAt }) => {
      const found = { kind: 'sandbox', id, jobId } as const;
      const job = await readJobState(jobs, jobId);
      const suspect = {
        job,
        createdAtMs: startedAt.getTime(),
        sightedAtMs: await updateSighting(context, keys.db, found, job),
        endingAtMs: null,
      };
      return applyDecision(context, found, suspect, async () => {
        await provider.stop(jobId);
        await forgetSandbox(keys.db, { jobId, id });
        await forgetSighting(keys.db, 'sandbox', id);
      });
    });
  });
}
