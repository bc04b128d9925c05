/** Temporal's record of the job that a step belongs to. */
export interface StepRecord {
  state: 'running' | 'closed';
  runId: string;
  /** The ids of the activities that the workflow has requested to cancel and still waits for. */
  cancelledActivities: readonly string[];
}

export type StopDecision =
  /** The workflow has requested the cancellation of the step. */
  | 'cancel'
  /** Another attempt or another run of the job continues the step. */
  | 'detach'
  /** The job has closed without its cleanup. */
  | 'job_closed'
  /** There is no reason to stop. */
  | 'continue';

/**
 * Decides why a step has to stop, by Temporal's record of its job (null: Temporal knows no such job). The signal itself does not tell: it is
 * the same for a cancel, a terminate and a reset (server 1.32). `signalled`: Temporal has signalled the step to stop, so it must not continue.
 */
export function decideStop(record: StepRecord | null, step: { runId: string; activityId: string }, signalled: boolean): StopDecision {
  if (record === null || record.state === 'closed') return 'job_closed';
  if (record.runId !== step.runId) return 'detach';
  if (record.cancelledActivities.includes(step.activityId)) return 'cancel';
  return signalled ? 'detach' : 'continue';
}
