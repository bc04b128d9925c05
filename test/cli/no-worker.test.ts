import { randomUUID } from 'node:crypto';

import { expect, test } from 'vitest';

import { jobSpec, useStack } from '../helpers/stack.ts';
import { document, valetkey } from './valetkey.ts';

const stack = useStack();
const taskQueue = `unattended-${randomUUID()}`;
const NOTICE = `No worker polls the task queue "${taskQueue}"`;

function cli(args: string[], input = '', queue = taskQueue): ReturnType<typeof valetkey> {
  const { config, temporal } = stack();
  const env = {
    DATABASE_URL: config.databaseUrl ?? '',
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    VALETKEY_TASK_QUEUE: queue,
  };
  return valetkey(args, { env, input });
}

async function detached(): Promise<string> {
  const id = `unattended-${randomUUID()}`;
  const { stderr, stdout } = await cli(['run', '--spec', '-', '--id', id, '--detach'], JSON.stringify(jobSpec()));
  expect(stdout).toBe(id);
  expect(stderr).toContain(NOTICE);
  return id;
}

/** Ends the command once it has said on standard error that there is no worker. */
async function expectNotice(running: ReturnType<typeof valetkey>): Promise<void> {
  running.stderr.on('data', (chunk) => {
    if (String(chunk).includes(NOTICE)) running.kill();
  });
  expect((await running).stderr).toContain(NOTICE);
}

test('where no worker polls the task queue status says so, with no key, as keys and list do', async () => {
  const id = await detached();
  const [text, json, keys, list] = await Promise.all([
    cli(['status', id]),
    cli(['status', id, '--json']),
    cli(['keys', '--job', id]),
    cli(['list', '--json']),
  ]);
  expect(text.stdout).toContain('running, no worker answers');
  expect(text.stdout).toContain(NOTICE);
  expect(text.stdout).toMatch(/^key +none$/m);
  expect(document(json.stdout)).toMatchObject({ state: 'running', phase: null, unattendedQueue: taskQueue, keyState: null });
  expect(keys.stdout).toBe('no keys');
  expect(document(list.stdout)).toContainEqual(expect.objectContaining({ jobId: id, keyState: null }));
});

test('where no worker polls the task queue whoever waits for a job is told, piped too', async () => {
  const id = await detached();
  await Promise.all([
    expectNotice(cli(['run', '--spec', '-', '--id', id], JSON.stringify(jobSpec()))),
    expectNotice(cli(['run', '--spec', '-', '--id', id, '--json'], JSON.stringify(jobSpec()))),
    expectNotice(cli(['events', id])),
    expectNotice(cli(['prompt', id, 'go on'])),
    expectNotice(cli(['cancel', id, '--wait'])),
  ]);
  const cancelled = await cli(['cancel', id]);
  expect(cancelled.stdout).toBe(`asked ${id} to end`);
  expect(cancelled.stderr).toContain(NOTICE);
});

test('a worker on the queue is not missed, whatever queue the command line has, and cancel says that a job has ended', async () => {
  const { config, client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ prompts: ['hello'] }));
  const { stderr } = await cli(['events', jobId]);
  await client.jobs.result(jobId);
  expect(stderr).toBe('');
  const ended = await cli(['cancel', jobId], '', config.taskQueue);
  expect({ stdout: ended.stdout, stderr: ended.stderr }).toEqual({ stdout: `${jobId} has ended already`, stderr: '' });
});
