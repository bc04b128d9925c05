// No secret in what is around the histories: schedules, the store, files, processes, metrics, what is printed. Each gets a canary of its own on
// purpose, to see that the look at the end of each file finds it there. Docker's containers are not looked at: there are none yet.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { Client, Connection } from '@temporalio/client';
import { Runtime } from '@temporalio/worker';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

import { freePort } from '../../../src/dev/process.ts';
import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { jobFolder } from '../../../src/sandboxes/host/folder.ts';
import { valetkey } from '../../cli/valetkey.ts';
import { findSecrets } from '../../helpers/secrets.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';
import { findInNamespace } from '../../secret-scan/whole-run.ts';

const stack = useStack({ environment: { VALETKEY_METRICS_ADDRESS: `127.0.0.1:${await freePort()}` } });
let temporal: Client;

beforeAll(async () => {
  const { address, namespace } = stack().temporal;
  temporal = new Client({ connection: await Connection.connect({ address }), namespace });
});
afterAll(() => temporal.connection.close());

const newCanary = (): string => `canary-${randomUUID()}`;

test('in what a schedule is to run', async () => {
  const canary = newCanary();
  const { deployment, taskQueue } = stack().config;
  const scheduleId = `valetkey-${deployment}-leak`;
  const action = { type: 'startWorkflow', workflowType: 'sweep', taskQueue, args: [{ canary }] } as const;
  const handle = await temporal.schedule.create({ scheduleId, spec: { intervals: [{ every: '1h' }] }, action });
  expect(await findSecrets(stack(), [canary])).toEqual([`schedule ${scheduleId}`]);
  await handle.delete();
});

test('in a column of a table that nobody told of', async () => {
  const canary = newCanary();
  const database = new pg.Client({ connectionString: stack().config.databaseUrl });
  await database.connect();
  await database.query('create table leaks (id integer, content bytea)');
  await database.query('insert into leaks values (1, $1)', [Buffer.from(canary)]);
  expect(await findSecrets(stack(), [canary])).toEqual(['table leaks']);
  await database.query('drop table leaks');
  await database.end();
});

test('in a file that a job left, in its home too', async () => {
  const canary = newCanary();
  const { stateDir } = stack().config;
  const files = [join(stateDir, 'note'), join(jobFolder(stateDir, 'ended'), '1-1-00000000', 'home', 'key')];
  for (const file of files) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, canary);
    expect(await findSecrets(stack(), [canary])).toEqual([`file ${file.slice(stateDir.length + 1)}`]);
    await writeFile(file, '');
  }
});

test.each([
  ['command line', (canary: string) => spawn('sh', ['-c', `read line; : ${canary}`])],
  ['environment', (canary: string) => spawn('sh', ['-c', 'read line'], { env: { LEAK: canary } })],
])('in the %s of a process', async (where, start) => {
  const canary = newCanary();
  const child = start(canary);
  onTestFinished(() => void child.kill());
  await once(child, 'spawn');
  expect(await findSecrets(stack(), [canary])).toEqual([`${where} of process ${child.pid}`]);
});

test('in what the command line prints', async () => {
  const canary = newCanary();
  const {
    config,
    temporal: { address, namespace },
  } = stack();
  const env = { DATABASE_URL: String(config.databaseUrl), TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace };
  const { stderr } = await valetkey(['status', canary], { env });
  expect(stderr).toContain(canary);
  expect(await findSecrets(stack(), [canary])).toEqual(['output of valetkey status']);
});

test('in the metrics', async () => {
  const canary = newCanary();
  Runtime.instance().metricMeter.createCounter('leaks').add(1, { canary });
  await expect.poll(() => findSecrets(stack(), [canary])).toEqual(['metrics']);
});

test('in two lines of the log, in pieces', async () => {
  const canary = newCanary();
  const lines = [`{"msg":"it is ${canary.slice(0, 20)}"}`, `{"msg":"${canary.slice(20)}"}`];
  await appendFile(join(stack().config.stateDir, 'log.jsonl'), `${lines.join('\n')}\n`);
  expect(await findSecrets(stack(), [canary])).toEqual(['log']);
});

test('in what the UI shows of a job that runs', async () => {
  const { client } = stack();
  const canary = newCanary();
  const { jobId } = await client.jobs.submit(jobSpec({ tenant: canary, prompts: [withScript('Hang.', [{ hang: true }])] }));
  const places = ['details of ', 'UI /workflows/', 'UI /workflows'].map((place) => place + (place.endsWith('s') ? '' : jobId));
  await expect.poll(() => findSecrets(stack(), [canary])).toEqual(expect.arrayContaining(places));
  await client.jobs.cancel(jobId);
  await client.jobs.result(jobId);
});

test('in the stack of a failure in the history of a workflow that no stack looks at', async () => {
  const canary = newCanary();
  const [taskQueue, workflowId] = [`other-${randomUUID()}`, `leaks-by-stack-${randomUUID()}`];
  const { namespace } = stack().temporal;
  const handle = await temporal.workflow.start('other', { workflowId, taskQueue, args: [] });
  const poll = () => temporal.workflowService.pollWorkflowTaskQueue({ namespace, taskQueue: { name: taskQueue } });
  const { taskToken } = await temporal.connection.withDeadline(Date.now() + 30_000, poll);
  await temporal.workflowService.respondWorkflowTaskFailed({ namespace, taskToken, failure: { message: 'failed', stackTrace: canary } });
  expect(await findInNamespace(stack().temporal, [canary])).toEqual([`history of ${workflowId}`]);
  expect(await findSecrets(stack(), [canary])).toEqual([]);
  await handle.terminate();
});
