import { expect, test } from 'vitest';

import { endJobs } from '../../src/dev/end-jobs.ts';
import { SandboxGate } from '../../src/dev/sandbox-gate.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';

const stack = useStack();

test('a stack that stops cancels the jobs on its own task queue, and none of another installation in the namespace', async () => {
  const { client, config } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!hang'] }));
  await expect.poll(async () => (await client.jobs.list({ running: true })).items.map((job) => job.jobId)).toContain(jobId);
  const gate = new SandboxGate();
  const never = new AbortController().signal;
  await endJobs({ client, taskQueue: 'of-another-stack', gate }, never);
  expect((await client.jobs.status(jobId)).state).toBe('running');
  await endJobs({ client, taskQueue: config.taskQueue, gate }, never);
  expect((await client.jobs.result(jobId)).outcome).toBe('cancelled');
});
