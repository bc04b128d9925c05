import { ScheduleNotFoundError, type ScheduleDescription, type ScheduleHandle } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import { SCHEDULED, scheduleId, type ScheduleName } from '../contract/schedules.ts';
import { asTemporalError } from '../temporal/errors.ts';
import { applySchedules, type ScheduleSettings } from '../temporal/schedules.ts';
import type { ClientContext } from './context.ts';
import { stateOf, type JobState } from './job-state.ts';

/** How a schedule stands; instants in ISO 8601. */
export interface ScheduleStatus {
  name: ScheduleName;
  /** Its id in Temporal. */
  id: string;
  /** `missing`: nobody has applied it yet. */
  state: 'active' | 'paused' | 'missing';
  /** Null where there is none. */
  nextRunAt: string | null;
  /** The newest run, null before the first. */
  lastRun: ScheduledRun | null;
}

export interface ScheduledRun {
  at: string;
  workflowId: string;
  /** Null where Temporal has forgotten it. */
  state: JobState | null;
}

/** Intervals, in ms, as the workers' configuration has them. */
export type ScheduleIntervals = Omit<ScheduleSettings, 'deployment' | 'taskQueue'>;

const NAMES = Object.keys(SCHEDULED).filter(isScheduleName);

/** What runs by itself in an installation. Each method throws `temporal_unreachable`. */
export class Schedules {
  readonly #context: ClientContext;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  async list(): Promise<ScheduleStatus[]> {
    return Promise.all(NAMES.map(async (name) => this.#status(name)));
  }

  /** Makes the schedules, or brings them up to date, as each worker does when it starts. Idempotent; one that is paused stays so. */
  async apply(intervals: ScheduleIntervals): Promise<void> {
    const { temporal, deployment, taskQueue } = this.#context;
    const { schedule } = await temporal.connected();
    await asTemporalError(applySchedules(schedule, { ...intervals, deployment, taskQueue }));
  }

  /** No run begins until `resume`; one that runs goes on. Idempotent. Throws `nothing_to_do` where it is missing. */
  async pause(name: ScheduleName): Promise<void> {
    await this.#change(name, (schedule) => schedule.pause('paused by valetkey'));
  }

  /** Idempotent. Throws `nothing_to_do` where it is missing. */
  async resume(name: ScheduleName): Promise<void> {
    await this.#change(name, (schedule) => schedule.unpause('resumed by valetkey'));
  }

  async #change(name: ScheduleName, change: (schedule: ScheduleHandle) => Promise<void>): Promise<void> {
    const { temporal, deployment } = this.#context;
    const { schedule } = await temporal.connected();
    try {
      await asTemporalError(change(schedule.getHandle(scheduleId(deployment, name))));
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
      throw new ValetkeyError('nothing_to_do', `there is no schedule ${name} yet: valetkey schedules apply`);
    }
  }

  async #status(name: ScheduleName): Promise<ScheduleStatus> {
    const { temporal, deployment } = this.#context;
    const id = scheduleId(deployment, name);
    const { schedule } = await temporal.connected();
    try {
      const { state, info } = await asTemporalError(schedule.getHandle(id).describe());
      const nextRunAt = state.paused ? null : (info.nextActionTimes[0]?.toISOString() ?? null);
      return { name, id, state: state.paused ? 'paused' : 'active', nextRunAt, lastRun: await this.#lastRun(info) };
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
      return { name, id, state: 'missing', nextRunAt: null, lastRun: null };
    }
  }

  async #lastRun({ recentActions }: ScheduleDescription['info']): Promise<ScheduledRun | null> {
    const newest = recentActions.at(-1);
    if (newest === undefined) return null;
    const { workflowId, firstExecutionRunId } = newest.action.workflow;
    const { workflow } = await this.#context.temporal.connected();
    const handle = workflow.getHandle(workflowId, firstExecutionRunId);
    const state = await asTemporalError(handle.describe()).then(stateOf, () => null);
    return { at: newest.takenAt.toISOString(), workflowId, state };
  }
}

function isScheduleName(name: string): name is ScheduleName {
  return name in SCHEDULED;
}
