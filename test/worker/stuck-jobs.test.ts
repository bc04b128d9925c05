import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { expect, test } from 'vitest';

import { createClient } from '../../src/client/client.ts';
import type { ArtifactInfo, KeyLife, TurnResult } from '../../src/contract/result.ts';
import { JOB_WORKFLOW } from '../../src/contract/status.ts';
import { startTemporal } from '../../src/dev/temporal.ts';
import { migrate, openDatabase } from '../../src/store/database.ts';
import { settle } from '../../src/store/settlements.ts';
import { watchStuckJobs } from '../../src/worker/stuck-jobs.ts';
import { newDatabase } from '../helpers/database.ts';

const TASK_QUEUE = 'broken';

const SETTLED = {
  jobId: 'broken',
  tenant: 'acme',
  agent: 'mock',
  outcome: 'completed',
  failure: null,
  turns: [] as TurnResult[],
  usage: { inputTokens: 0, outputTokens: 0, requests: 0, usd: 0 },
  keys: [] as KeyLife[],
  artifacts: [] as ArtifactInfo[],
  sandboxLost: false,
  push: null,
} as const;

test('a job whose workflow task fails again and again is counted and logged once, and shows in list and status', async ({
  onTestFinished,
}) => {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => {}) });
  const dynamicConfig = { 'system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute': 2 };
  const temporal = await startTemporal({ report: () => undefined, dynamicConfig });
  onTestFinished(() => temporal.stop());
  const { address } = temporal;
  const connection = await NativeConnection.connect({ address });
  const workflowsPath = fileURLToPath(new URL('stuck-job-workflow.ts', import.meta.url));
  const worker = await Worker.create({ connection, taskQueue: TASK_QUEUE, workflowsPath });
  const running = worker.run();
  const clientConnection = await Connection.connect({ address });
  const { workflow } = new Client({ connection: clientConnection });
  const databaseUrl = await newDatabase();
  const client = await createClient({
    databaseUrl,
    taskQueue: TASK_QUEUE,
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  onTestFinished(async () => {
    await workflow.getHandle('broken').terminate();
    worker.shutdown();
    await running;
    await Promise.all([connection.close(), clientConnection.close(), client.close()]);
  });
  const database = openDatabase(databaseUrl);
  onTestFinished(() => database.close());
  await migrate(database);
  await workflow.start(JOB_WORKFLOW, { workflowId: 'broken', taskQueue: TASK_QUEUE, args: [] });

  const counts: number[] = [];
  const warnings: unknown[] = [];
  const stop = watchStuckJobs(workflow, {
    taskQueue: TASK_QUEUE,
    onCount: (jobs) => counts.push(jobs),
    logger: { warn: (message, meta) => warnings.push([message, meta]) },
    everyMs: 500,
  });
  onTestFinished(stop);
  await expect.poll(() => counts.filter((count) => count === 1).length).toBeGreaterThan(2);
  expect(counts[0]).toBe(0);
  expect(warnings).toEqual([[expect.stringContaining('stuck'), expect.objectContaining({ jobId: 'broken' })]]);
  const {
    items: [listed],
  } = await client.jobs.list({ running: true });
  expect(listed).toMatchObject({ jobId: 'broken', state: 'running' });
  expect(listed?.problems.join()).toContain('WorkflowTaskFailed');
  expect((await client.jobs.status('broken')).problems).toEqual(listed?.problems);

  const { runId } = await workflow.getHandle('broken').describe();
  const workspace = { complete: true, omitted: [], more: 0 };
  const result = { ...SETTLED, workspace, endedAt: new Date().toISOString(), startedAt: new Date().toISOString() };
  await settle(database.db, result, { leaseId: runId, runId: 'a run before a reset' }, []);
  const resulted = client.jobs.result('broken');
  const state = await Promise.race([resulted.then(() => 'resolved'), sleep(9_000, 'waits')]);
  expect(state, 'the settlement of an earlier run').toBe('waits');
  await settle(database.db, result, { leaseId: runId, runId }, []);
  expect(await resulted, 'the settlement of a job whose workflow cannot close').toEqual(result);
});
