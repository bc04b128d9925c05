import type { Client } from '@temporalio/client';

/** What Temporal Cloud takes for the start of a workflow by a schedule, the start included. */
const SCHEDULED_START = 3;

type Histories = Pick<Client, 'workflow'>;

/**
 * Billed actions in the history of a workflow, its start left out, by the rules of Temporal Cloud: one for each activity and each of its
 * repeats, timer, signal, update and upsert of search attributes, and one for all local activities of a workflow task. Heartbeats are not in
 * the history.
 */
export async function actionsOf({ workflow }: Histories, workflowId: string): Promise<number> {
  const { events } = await workflow.getHandle(workflowId).fetchHistory();
  let actions = 0;
  const tasksWithLocal = new Set<string>();
  for (const event of events ?? []) {
    if (event.activityTaskScheduledEventAttributes != null) actions += 1;
    actions += Math.max(0, (event.activityTaskStartedEventAttributes?.attempt ?? 1) - 1);
    if (event.timerStartedEventAttributes != null) actions += 1;
    if (event.workflowExecutionSignaledEventAttributes != null) actions += 1;
    if (event.workflowExecutionUpdateAcceptedEventAttributes != null) actions += 1;
    if (event.upsertWorkflowSearchAttributesEventAttributes != null) actions += 1;
    const marker = event.markerRecordedEventAttributes;
    if (marker?.markerName === 'core_local_activity') tasksWithLocal.add(String(marker.workflowTaskCompletedEventId));
  }
  return actions + tasksWithLocal.size;
}

/** Those of one run of a schedule. */
export async function actionsOfScheduled(temporal: Histories, workflowId: string): Promise<number> {
  return SCHEDULED_START + (await actionsOf(temporal, workflowId));
}
