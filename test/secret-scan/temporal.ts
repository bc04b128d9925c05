import { Client, Connection, ScheduleNotFoundError, type ScheduleClient } from '@temporalio/client';

import { readable, type Place } from './place.ts';

/** Workflows at once. */
const BATCH = 16;
/** A worker that is up answers a query in some ms. */
const QUERY_TIMEOUT_MS = 1_000;

/** One run of a workflow; `listed` is what the list says of it: memo and search attributes too. */
export interface Run {
  workflowId: string;
  runId: string;
  isRunning: boolean;
  listed: string;
}

/** A client that the caller closes, by its connection. */
export async function connectTo({ address, namespace }: { address: string; namespace: string }): Promise<Client> {
  return new Client({ connection: await Connection.connect({ address }), namespace });
}

/** The runs that a query of Temporal's finds; the empty one finds all of the namespace. */
export async function listRuns({ workflow }: Client, query: string): Promise<Run[]> {
  const runs: Run[] = [];
  for await (const { workflowId, runId, status, raw } of workflow.list({ query }))
    runs.push({ workflowId, runId, isRunning: status.name === 'RUNNING', listed: readable(raw) });
  return runs;
}

/** Every event of each run, payloads decoded, what the list says of it, and of one that runs what `describe` tells, heartbeats too. */
export async function* runTexts(client: Client, runs: readonly Run[]): AsyncGenerator<Place> {
  for (let at = 0; at < runs.length; at += BATCH) {
    const texts = await Promise.all(runs.slice(at, at + BATCH).map((run) => textsOf(client, run)));
    yield* texts.flat();
  }
}

async function textsOf({ workflow }: Client, { workflowId, runId, isRunning, listed }: Run): Promise<Place[]> {
  const handle = workflow.getHandle(workflowId, runId);
  const [history, description] = await Promise.all([handle.fetchHistory(), isRunning ? handle.describe() : null]);
  return [
    [`history of ${workflowId}`, readable(history)],
    [`description of ${workflowId}`, listed + readable(description?.raw)],
  ];
}

/** The details that a run which goes on shows in Temporal's UI; none where no worker answers, as in the UI. */
export async function detailTexts({ connection, workflow }: Client, runs: readonly Run[]): Promise<Place[]> {
  return Promise.all(
    runs.map(async ({ workflowId, runId }): Promise<Place> => {
      const ask = (): Promise<unknown> => workflow.getHandle(workflowId, runId).query('__temporal_workflow_metadata');
      return [`details of ${workflowId}`, readable(await connection.withDeadline(Date.now() + QUERY_TIMEOUT_MS, ask).catch(() => null))];
    }),
  );
}

/** What the list says of the schedules whose ids begin like that, and what each of them does. */
export async function* scheduleTexts({ schedule }: Client, prefix: string): AsyncGenerator<Place> {
  for await (const listed of schedule.list()) {
    if (!listed.scheduleId.startsWith(prefix)) continue;
    yield [`schedule ${listed.scheduleId}`, readable({ listed, described: await describeSchedule(schedule, listed.scheduleId) })];
  }
}

/** Null for one that is gone by now. */
async function describeSchedule(schedules: ScheduleClient, id: string): Promise<unknown> {
  try {
    return (await schedules.getHandle(id).describe()).raw;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  }
}
