import { ScheduleNotFoundError, type ScheduleDescription, type ScheduleHandle } from '@temporalio/client';
import { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobState } from '../contract/job-summary.ts';
import { SCHEDULED, scheduleId, type ScheduleName } from '../contract/schedules.ts';
import { asTemporalError } from '../temporal/errors.ts';
import { applySchedules } from '../temporal/schedules.ts';
import { check } from './check.ts';
import type { ClientContext } from './context.ts';
import { stateOf } from './job-state.ts';
import { parseOptions, schemas } from './options.ts';

/** How a schedule stands; instants in ISO 8601. */
export interface ScheduleStatus {
  /** Name of the schedule. */
  name: ScheduleName;
  /** Its id in Temporal. */
  id: string;
  /** `missing`: nobody has applied it yet. */
  state: 'active' | 'paused' | 'missing';
  /** ISO 8601; null where none is due. */
  nextRunAt: string | null;
  /** The newest run, null before the first. */
  lastRun: ScheduledRun | null;
}

/** A run that a schedule started. */
export interface ScheduledRun {
  /** ISO 8601. */
  at: string;
  /** Id of its workflow in Temporal. */
  workflowId: string;
  /** State of its workflow; null where Temporal has forgotten it. */
  state: JobState | null;
}

/** Intervals of the schedules, as the workers' configuration has them. */
export interface ScheduleIntervals {
  /** ms between two sweeps. */
  inventoryIntervalMs: number;
  /** ms after which a key is rotated. */
  rotateAfterMs: number;
}

const NAMES = Object.keys(SCHEDULED).filter(isScheduleName);

const nameSchema = z.string().refine(isScheduleName, `must be one of ${NAMES.join(', ')}`);

/** Schedules of an installation: the sweep and the rotation of keys. Each method throws `temporal_unreachable`. */
export class Schedules {
  readonly #context: ClientContext;

  /** @internal */
  constructor(context: ClientContext) {
    this.#context = context;
  }

  /** Lists the schedules with their states. */
  async list(): Promise<ScheduleStatus[]> {
    return this.#context.calls.run(async () => Promise.all(NAMES.map(async (name) => this.#status(name))));
  }

  /** Makes the schedules, or brings them up to date, as each worker does when it starts. Idempotent; one that is paused stays so. */
  async apply(intervals: ScheduleIntervals): Promise<void> {
    return this.#context.calls.run(async () => {
      const { temporal, deployment, taskQueue } = this.#context;
      const settings = { ...parseOptions(schemas.intervals, intervals), deployment, taskQueue };
      const { schedule } = await temporal.connected();
      await asTemporalError(applySchedules(schedule, settings));
    });
  }

  /** No run begins until `resume`; one that runs goes on. Idempotent. Throws `no_such_schedule` where it is missing. */
  async pause(name: ScheduleName): Promise<void> {
    return this.#context.calls.run(async () => this.#change(name, (schedule) => schedule.pause('paused by valetkey')));
  }

  /** Idempotent. Throws `no_such_schedule` where it is missing. */
  async resume(name: ScheduleName): Promise<void> {
    return this.#context.calls.run(async () => this.#change(name, (schedule) => schedule.unpause('resumed by valetkey')));
  }

  async #change(name: ScheduleName, change: (schedule: ScheduleHandle) => Promise<void>): Promise<void> {
    const { temporal, deployment } = this.#context;
    check('name', nameSchema, name);
    const { schedule } = await temporal.connected();
    try {
      await asTemporalError(change(schedule.getHandle(scheduleId(deployment, name))));
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
      throw new ValetkeyError('no_such_schedule', `There is no schedule ${name}.`);
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
