import { ActivityCancellationType, CancellationScope, proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';

/** A cancelled step is awaited, so that none goes on beside the cleanup. */
const WAIT_FOR_CANCELLATION = { cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED } as const;
/** When the worker that was at a key has died, the next one goes on: so a revocation can stand still for this time. */
const KEY_HEARTBEAT_TIMEOUT = '5s';
/** Some heartbeats: a worker that has died is noticed before by the others (worker/watch.ts), and each heartbeat is a billed action. */
const SESSION_HEARTBEAT_TIMEOUT = '90s';
/** What holds a connection to Postgres that does not come holds the workflow's task, too. */
const STOP_NOTICE_TIMEOUT = '2s';
/** A connection to Postgres that does not come is given up before. */
const SETTLE_TIMEOUT = '20s';
/** For what is read after the commands, and for a worker that is restarted. */
const SETUP_SLACK_MS = 5 * 60_000;
const RETRY_FOREVER = { initialInterval: '1s', maximumInterval: '30s' } as const;

export function startupActivities(summary: string): Pick<Activities, 'mintKey' | 'startSandbox'> {
  const options = {
    ...WAIT_FOR_CANCELLATION,
    summary,
    // For the wait for a worker as well: a deploy does not fail a job.
    scheduleToCloseTimeout: '10m',
    // A worker that dies costs one attempt.
    retry: { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 6 },
  } as const;
  const { startSandbox } = proxyActivities<Activities>({ ...options, startToCloseTimeout: '5m', heartbeatTimeout: '20s' });
  const { mintKey } = proxyActivities<Activities>({ ...options, startToCloseTimeout: '30s', heartbeatTimeout: KEY_HEARTBEAT_TIMEOUT });
  return { mintKey, startSandbox: withStopNotice(startSandbox) };
}

/** The commands have a limit of their own, from when they were first asked for; a deploy does not end them. */
export function setupActivities(hostTaskQueue: string | null, summary: string, timeoutMs: number): Pick<Activities, 'prepareWorkspace'> {
  return proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...WAIT_FOR_CANCELLATION,
    summary,
    scheduleToCloseTimeout: timeoutMs + SETUP_SLACK_MS,
    heartbeatTimeout: '20s',
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
}

/** Before the first turn in a new sandbox. */
export function restoreActivities(hostTaskQueue: string | null, summary: string): Pick<Activities, 'restoreCheckpoint'> {
  return proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...WAIT_FOR_CANCELLATION,
    summary,
    scheduleToCloseTimeout: '10m',
    heartbeatTimeout: '20s',
    retry: { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 6 },
  });
}

/** Where it takes too long the job goes on without it. */
export function questionActivities(hostTaskQueue: string | null, summary: string): Pick<Activities, 'storeCheckpoint'> {
  const { storeCheckpoint } = proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...WAIT_FOR_CANCELLATION,
    summary,
    scheduleToCloseTimeout: '10m',
    heartbeatTimeout: '20s',
    retry: { initialInterval: '1s', maximumInterval: '10s', maximumAttempts: 3 },
  });
  return { storeCheckpoint: withStopNotice(storeCheckpoint) };
}

/** On any worker. */
export function restartActivities(summary: string): Pick<Activities, 'giveUpSandbox' | 'loadCheckpoint'> {
  return proxyActivities<Activities>({ summary, startToCloseTimeout: SETTLE_TIMEOUT, scheduleToCloseTimeout: '10m', retry: RETRY_FOREVER });
}

/** Waits for the agent as long as it takes: the end of the job cancels it. */
export function rebindActivities(hostTaskQueue: string | null, summary: string): Pick<Activities, 'rebindKey'> {
  const { rebindKey } = proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...WAIT_FOR_CANCELLATION,
    summary,
    startToCloseTimeout: '1h',
    heartbeatTimeout: SESSION_HEARTBEAT_TIMEOUT,
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
  return { rebindKey: withStopNotice(rebindKey) };
}

/** No small number of attempts: a deploy consumes one. The deadline of the job bounds it, and `timeoutMs` only what it missed. */
export function turnActivities(hostTaskQueue: string | null, summary: string, timeoutMs: number): Pick<Activities, 'runSession'> {
  const { runSession } = proxyActivities<Activities>({
    ...(hostTaskQueue === null ? {} : { taskQueue: hostTaskQueue }),
    ...WAIT_FOR_CANCELLATION,
    summary,
    scheduleToCloseTimeout: timeoutMs,
    heartbeatTimeout: SESSION_HEARTBEAT_TIMEOUT,
    retry: { initialInterval: '1s', maximumInterval: '10s' },
  });
  return { runSession: withStopNotice(runSession) };
}

/** On any worker: the sandbox is gone. The activity counts its attempts; the time bounds it where no worker takes it. */
export function pushActivities(summary: string): Pick<Activities, 'pushBranch'> {
  return proxyActivities<Activities>({
    summary,
    startToCloseTimeout: '6m',
    scheduleToCloseTimeout: '15m',
    heartbeatTimeout: '20s',
    retry: { initialInterval: '5s', maximumInterval: '1m' },
  });
}

/** Unless it says so without limit: a key or a sandbox that cannot be ended now is ended later, and shows in the UI until then. */
export function cleanupActivities(
  summary: string,
  { host = null, attempts }: { host?: string | null; attempts?: number | undefined } = {},
): Pick<Activities, 'stopSandbox' | 'abandonSandbox' | 'revokeKey' | 'settleUsage'> {
  const retry = attempts === undefined ? RETRY_FOREVER : { ...RETRY_FOREVER, maximumAttempts: attempts };
  const options = { ...(host === null ? {} : { taskQueue: host }), summary, retry };
  const { stopSandbox } = proxyActivities<Activities>({ ...options, startToCloseTimeout: '6m', heartbeatTimeout: '20s' });
  const { revokeKey } = proxyActivities<Activities>({ ...options, startToCloseTimeout: '1m', heartbeatTimeout: KEY_HEARTBEAT_TIMEOUT });
  const { settleUsage, abandonSandbox } = proxyActivities<Activities>({ ...options, startToCloseTimeout: SETTLE_TIMEOUT });
  return { stopSandbox, abandonSandbox, revokeKey, settleUsage };
}

/**
 * A step whose cancel reaches its worker at once, whoever asked for it: by a notice through Postgres. Temporal's own word comes with the
 * step's next heartbeat. Costs one action where it is cancelled.
 */
function withStopNotice<Input, Result>(step: (input: Input) => Promise<Result>): (input: Input) => Promise<Result> {
  return async (input) => {
    let isOver = false;
    CancellationScope.current().cancelRequested.catch(() => {
      if (!isOver) void announceStop();
    });
    try {
      return await step(input);
    } finally {
      isOver = true;
    }
  };
}

async function announceStop(): Promise<void> {
  const local = proxyLocalActivities<Activities>({
    summary: 'notify the cancelled activity',
    startToCloseTimeout: STOP_NOTICE_TIMEOUT,
    retry: { maximumAttempts: 1 },
  });
  const { workflowId: jobId } = workflowInfo();
  // Where it fails the activity learns it with its next heartbeat.
  await CancellationScope.nonCancellable(async () => local.announceStop({ jobId })).catch(() => undefined);
}

/**
 * Once, by the worker that has the workflow's task: one short transaction, which a task of its own would cost far more than. Where it
 * fails the step of `cleanupActivities` goes on, without limit and for everybody to see.
 */
export function settleLocally(summary: string): Pick<Activities, 'settleUsage'> {
  return proxyLocalActivities<Activities>({ summary, startToCloseTimeout: SETTLE_TIMEOUT, retry: { maximumAttempts: 1 } });
}
