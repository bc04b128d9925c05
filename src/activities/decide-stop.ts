/** What Temporal's record says of the run that a step belongs to. */
export interface StepRecord {
  state: 'running' | 'closed';
  runId: string;
  /** Ids of the activities that the workflow waits for, and wants to end. */
  cancelledActivities: readonly string[];
}

export type StopDecision =
  /** The workflow wants the step to end. */
  | 'cancel'
  /** Another attempt, or another run of the job, goes on with it. */
  | 'detach'
  /** The job has ended without its cleanup. */
  | 'gone'
  /** Nothing is known of an end. */
  | 'go_on';

/**
 * Why a step is to stop, by Temporal's record of its job (null: it knows none) and not by the signal: one that is pushed looks the same
 * for a cancel, a terminate and a reset (server 1.32). `signalled`: Temporal has asked the step to stop, so it does not go on.
 */
export function decideStop(record: StepRecord | null, step: { runId: string; activityId: string }, signalled: boolean): StopDecision {
  if (record === null || record.state === 'closed') return 'gone';
  if (record.runId !== step.runId) return 'detach';
  if (record.cancelledActivities.includes(step.activityId)) return 'cancel';
  return signalled ? 'detach' : 'go_on';
}
