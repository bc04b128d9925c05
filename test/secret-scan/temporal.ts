import { Client, Connection, type WorkflowHandle } from '@temporalio/client';

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

/** Every event of each run, payloads decoded, and what the list says of it; of one that runs also what only the server still knows. */
export async function* runTexts(client: Client, runs: readonly Run[]): AsyncGenerator<Place> {
  for (let at = 0; at < runs.length; at += BATCH) {
    const texts = await Promise.all(runs.slice(at, at + BATCH).map((run) => textsOf(client, run)));
    yield* texts.flat();
  }
}

async function textsOf(client: Client, { workflowId, runId, isRunning, listed }: Run): Promise<Place[]> {
  const handle = client.workflow.getHandle(workflowId, runId);
  const [history, description, details] = await Promise.all([
    handle.fetchHistory(),
    isRunning ? handle.describe() : null,
    isRunning ? detailsOf(client, handle) : null,
  ]);
  return [
    [`history of ${workflowId}`, readable(history)],
    [`description of ${workflowId}`, `${listed}${readable(description?.raw)}`],
    [`details of ${workflowId}`, readable(details)],
  ];
}

/** Null where no worker answers: then the UI shows none either. */
async function detailsOf({ connection }: Client, handle: WorkflowHandle): Promise<unknown> {
  const answer = connection.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () => handle.query('__temporal_workflow_metadata'));
  return answer.catch(() => null);
}

/** What the list says of the schedules whose ids begin like that, and what each of them does. */
export async function* scheduleTexts({ schedule }: Client, prefix: string): AsyncGenerator<Place> {
  for await (const listed of schedule.list()) {
    if (!listed.scheduleId.startsWith(prefix)) continue;
    const { raw } = await schedule.getHandle(listed.scheduleId).describe();
    yield [`schedule ${listed.scheduleId}`, readable({ listed, raw })];
  }
}
