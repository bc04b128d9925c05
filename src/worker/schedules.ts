import type { ScheduleClient } from '@temporalio/client';
import { Runtime } from '@temporalio/worker';

import type { Config } from '../config/config.ts';
import { applySchedules } from '../temporal/schedules.ts';

/** Applies the schedules of the installation where this worker may. Where it may not somebody has to do it: it says so. Throws nothing. */
export async function startSchedules(schedules: ScheduleClient, config: Config): Promise<void> {
  try {
    await applySchedules(schedules, config);
  } catch (error) {
    const { name } = error instanceof Error ? error : { name: 'unknown' };
    Runtime.instance().logger.warn('the schedules could not be applied: valetkey schedules apply', { error: name });
  }
}
