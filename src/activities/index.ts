import { announceStop } from '../store/stop-notices.ts';
import { checkpointActivities } from './checkpoints.ts';
import type { Activities } from './contracts.ts';
import { keyActivities, type KeyDeps } from './keys.ts';
import { branchActivities, type PushDeps } from './push-branch.ts';
import { rotationActivities, type RotationDeps } from './rotation.ts';
import { sandboxActivities, type SandboxDeps } from './sandbox.ts';
import { sessionActivities, type SessionDeps } from './session.ts';
import { sweepActivities, type SweepDeps } from './sweep.ts';
import { usageActivities, type UsageDeps } from './usage.ts';

export type ActivityDeps = KeyDeps & PushDeps & RotationDeps & SandboxDeps & SessionDeps & SweepDeps & UsageDeps;

/** Creates the activities on the given adapters. */
export function createActivities(deps: ActivityDeps): Activities {
  return {
    ...keyActivities(deps),
    ...sandboxActivities(deps),
    ...sessionActivities(deps),
    ...checkpointActivities(deps),
    ...branchActivities(deps),
    ...rotationActivities(deps),
    ...sweepActivities(deps),
    ...usageActivities(deps),
    announceStop: async ({ jobId }) => announceStop(deps.database.db, jobId),
  };
}
