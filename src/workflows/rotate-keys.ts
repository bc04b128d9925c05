import { proxyActivities } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';
import type { RotationReport } from '../contract/rotation.ts';

/** Has the keys rotated that are older than `olderThanMs`, in jobs that still run. What fails is done by the next. */
export async function rotateKeys({ olderThanMs }: { olderThanMs: number }): Promise<RotationReport> {
  const { rotateOldKeys } = proxyActivities<Activities>({ startToCloseTimeout: '10m', retry: { maximumAttempts: 1 }, summary: 'old keys' });
  return rotateOldKeys({ olderThanMs });
}
