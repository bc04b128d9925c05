import { ScheduleAlreadyRunning, ScheduleOverlapPolicy, type ScheduleClient, type ScheduleOptions } from '@temporalio/client';

import { SCHEDULED, scheduleId, type ScheduleName } from '../contract/schedules.ts';
import type { SweepInput } from '../contract/sweep.ts';

const MAX_ROTATE_EVERY_MS = 10 * 60_000;

/** What the schedules of an installation depend on; durations in ms. */
export interface ScheduleSettings {
  deployment: string;
  taskQueue: string;
  inventoryIntervalMs: number;
  rotateAfterMs: number;
}

/**
 * Makes the schedules of an installation, or brings those that are there up to date; a paused one stays paused. Idempotent, and any
 * number may do it at once. Throws the SDK's errors.
 */
export async function applySchedules(schedules: ScheduleClient, settings: ScheduleSettings): Promise<void> {
  const { inventoryIntervalMs, rotateAfterMs } = settings;
  const sweep: SweepInput = { dryRun: false };
  await Promise.all([
    applySchedule(schedules, settings, 'sweep', inventoryIntervalMs, sweep),
    applySchedule(schedules, settings, 'rotate-keys', rotateEveryMs(rotateAfterMs), { olderThanMs: rotateAfterMs }),
  ]);
}

/** A key gets at most a quarter older than it should. */
function rotateEveryMs(rotateAfterMs: number): number {
  return Math.min(MAX_ROTATE_EVERY_MS, Math.max(1000, rotateAfterMs / 4));
}

async function applySchedule(
  schedules: ScheduleClient,
  { deployment, taskQueue }: ScheduleSettings,
  name: ScheduleName,
  everyMs: number,
  input: object,
): Promise<void> {
  const id = scheduleId(deployment, name);
  const wanted = {
    scheduleId: id,
    spec: { intervals: [{ every: everyMs }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1m', pauseOnFailure: false },
    action: { type: 'startWorkflow', workflowType: SCHEDULED[name], workflowId: id, taskQueue, args: [input], staticSummary: name },
  } as const satisfies ScheduleOptions;
  try {
    await schedules.create(wanted);
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const { spec, policies, action } = wanted;
    await schedules.getHandle(id).update(({ state }) => ({ spec, policies, action, state }));
  }
}
