import { isGrpcServiceError, type WorkflowClient, type WorkflowExecutionInfo } from '@temporalio/client';
import { executionInfoFromRaw, rethrowKnownErrorTypes } from '@temporalio/client/lib/helpers.js';

import type { JobSummary } from '../contract/job-summary.ts';
import { formatLabels } from '../contract/labels.ts';
import { searchAttributes } from '../contract/search-attributes.ts';
import { JOB_WORKFLOW } from '../contract/status.ts';
import { asTemporalError } from '../temporal/errors.ts';
import type { ClientContext } from './context.ts';
import { summarise } from './job-state.ts';
import type { JobFilter } from './options.ts';
import { formatCursor, parseCursor, type Page } from './page.ts';
import { withLedger } from './read-jobs.ts';

/** Rows that Temporal gives at once. */
const MAX_PAGE = 1_000;

/** Lists the newest jobs first, by Temporal's visibility. @throws `invalid_spec`, `temporal_unreachable`, `database_unreachable` */
export async function listJobs(context: ClientContext, { limit = 100, cursor, ...filter }: JobFilter): Promise<Page<JobSummary>> {
  const { workflow } = await context.temporal.connected();
  const query = queryOf(filter);
  const list = { of: 'jobs', query };
  const [begin] = cursor == null ? [] : parseCursor(list, cursor);
  let token: Uint8Array = Buffer.from(begin ?? '', 'base64url');
  const jobs: JobSummary[] = [];
  do {
    const { executions, nextPageToken } = await asTemporalError(readPage(workflow, query, Math.min(limit - jobs.length, MAX_PAGE), token));
    jobs.push(...executions.map(summarise));
    token = nextPageToken;
  } while (jobs.length < limit && token.length > 0);
  const nextCursor = token.length === 0 ? null : formatCursor(list, [Buffer.from(token).toString('base64url')]);
  return { items: await withLedger(context, jobs), nextCursor };
}

function queryOf({ tenant, running = false, waiting = false, labels = {} }: JobFilter): string {
  return [
    `WorkflowType = '${JOB_WORKFLOW}'`,
    // A job whose history got long is a chain of runs, of which the newest counts.
    `ExecutionStatus != 'ContinuedAsNew'`,
    ...(tenant === undefined ? [] : [`${searchAttributes.tenant.name} = '${tenant}'`]),
    ...(running || waiting ? [`ExecutionStatus = 'Running'`] : []),
    ...(waiting ? [`${searchAttributes.waiting.name} = true`] : []),
    ...formatLabels(labels).map((label) => `${searchAttributes.labels.name} = '${label}'`),
  ].join(' AND ');
}

/** The SDK's own `list` does not give its place away. */
async function readPage(
  { workflowService, options }: WorkflowClient,
  query: string,
  pageSize: number,
  nextPageToken: Uint8Array,
): Promise<{ executions: WorkflowExecutionInfo[]; nextPageToken: Uint8Array }> {
  const { namespace, loadedDataConverter } = options;
  try {
    const page = await workflowService.listWorkflowExecutions({ namespace, query, pageSize, nextPageToken });
    const executions = page.executions.map(async (raw) => executionInfoFromRaw(raw, loadedDataConverter, raw, namespace));
    return { executions: await Promise.all(executions), nextPageToken: page.nextPageToken };
  } catch (error) {
    if (isGrpcServiceError(error)) rethrowKnownErrorTypes(error);
    throw error;
  }
}
