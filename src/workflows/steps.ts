import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';

/** A cancelled step is awaited, so that none goes on beside the cleanup. */
const AWAITED = { cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED } as const;
const UNTIL_DONE = { initialInterval: '1s', maximumInterval: '30s' } as const;

export function steps(summary: string): Pick<Activities, 'mintKey' | 'startSandbox'> {
  const { startSandbox } = proxyActivities<Activities>({
    ...AWAITED,
    summary,
    startToCloseTimeout: '5m',
    scheduleToCloseTimeout: '10m',
    heartbeatTimeout: '20s',
    // A worker that dies costs one, too.
    retry: { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 6 },
  });
  const { mintKey } = proxyActivities<Activities>({
    ...AWAITED,
    summary,
    startToCloseTimeout: '15s',
    scheduleToCloseTimeout: '45s',
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
  return { mintKey, startSandbox };
}

/** No small number of attempts: a deploy consumes one. The deadline of the job bounds it, and `timeoutMs` only what it missed. */
export function sessionSteps(hostTaskQueue: string | null, summary: string, timeoutMs: number): Pick<Activities, 'runSession'> {
  return proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...AWAITED,
    summary,
    scheduleToCloseTimeout: timeoutMs,
    heartbeatTimeout: '20s',
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
}

/** Without limit: a key or a sandbox that cannot be ended now is ended later, and shows in the UI until then. */
export function cleanup(
  summary: string,
  hostTaskQueue: string | null = null,
): Pick<Activities, 'stopSandbox' | 'revokeKey' | 'settleUsage'> {
  const options = { ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }), summary, retry: UNTIL_DONE };
  const { stopSandbox } = proxyActivities<Activities>({ ...options, startToCloseTimeout: '2m' });
  // Short: they have no heartbeat, so a worker that dies in one of them is noticed by this alone.
  const { revokeKey, settleUsage } = proxyActivities<Activities>({ ...options, startToCloseTimeout: '30s' });
  return { stopSandbox, revokeKey, settleUsage };
}
