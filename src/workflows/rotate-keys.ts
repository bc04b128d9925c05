import { proxyActivities } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';
import { rotationProblem } from '../contract/check-requests.ts';
import type { RotationReport } from '../contract/rotation.ts';
import { rejectMalformed } from './reject.ts';

/** Has the keys rotated that are older than `olderThanMs`, in jobs that still run. What fails is done by the next. */
export async function rotateKeys(input: { olderThanMs: number }): Promise<RotationReport> {
  rejectMalformed('rotateKeys', rotationProblem(input));
  const { rotateOldKeys } = proxyActivities<Activities>({ startToCloseTimeout: '10m', retry: { maximumAttempts: 1 }, summary: 'old keys' });
  return rotateOldKeys(input);
}
