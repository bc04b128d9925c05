import { randomUUID } from 'node:crypto';

import { ValetkeyError } from '../contract/errors.ts';
import { SCHEDULED } from '../contract/schedules.ts';
import type { SweepInput, SweepReport } from '../contract/sweep.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';

/** ms that a worker may take to begin. */
const BEGIN_MS = 15_000;
/** Events of a workflow that no worker has begun: its start, and that a worker is wanted. */
const NOT_BEGUN = 2;

type Sweep = (input: SweepInput) => Promise<SweepReport>;

/** Has the workers sweep once, whatever their schedule does. Calls it off where none begins in time, and throws `no_worker`. */
export async function sweepOnce({ temporal, taskQueue, deployment }: ClientContext, dryRun: boolean): Promise<SweepReport> {
  const { connection, workflow } = await temporal.connected();
  const handle = await asTemporalError(
    workflow.start<Sweep>(SCHEDULED.sweep, {
      workflowId: `valetkey-${deployment}-sweep-once-${randomUUID()}`,
      taskQueue,
      args: [{ dryRun }],
      staticSummary: dryRun ? 'sweep, a dry run' : 'sweep',
    }),
  );
  try {
    return await asTemporalError(connection.withDeadline(Date.now() + BEGIN_MS, () => handle.result()));
  } catch (error) {
    if (!ValetkeyError.is(error) || error.code !== 'temporal_unreachable') throw error;
  }
  const { historyLength } = await asTemporalError(handle.describe());
  if (historyLength > NOT_BEGUN) return asTemporalError(handle.result());
  await asTemporalError(handle.terminate('no worker took it'));
  throw new ValetkeyError('no_worker', 'No worker accepted the sweep.');
}
