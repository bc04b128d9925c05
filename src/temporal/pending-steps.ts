/** PendingActivityState of Temporal's API, whose package cannot be imported by name. */
const STARTED = 2;
const CANCEL_REQUESTED = 3;

/** Whether a worker has the activity, by the state that Temporal's description of a workflow tells. */
export function isStarted(state: number | null | undefined): boolean {
  return state === STARTED;
}

/** Whether a worker has it, and the workflow wants it to end. */
export function isCancelRequested(state: number | null | undefined): boolean {
  return state === CANCEL_REQUESTED;
}
