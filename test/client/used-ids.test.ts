import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';

import { ValetkeyError } from '../../src/contract/errors.ts';
import { parseJobSpec } from '../../src/contract/spec.ts';
import { JOB_WORKFLOW } from '../../src/contract/status.ts';
import { openDatabase } from '../../src/store/database.ts';
import { storePrompts } from '../../src/store/prompts.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';

const stack = useStack();
const SPEC = jobSpec({ agent: 'mock', prompts: ['!say first'] });

test('of two different jobs that are submitted under one id at once one is refused', async () => {
  const { client } = stack();
  const submits = ['one', 'two', 'three'].map((word) => client.jobs.submit({ ...SPEC, prompts: [`!say ${word}`] }, { id: 'at-once' }));
  const settled = await Promise.allSettled(submits);
  const codes = settled.map((one) => (one.status === 'rejected' && ValetkeyError.is(one.reason) ? one.reason.code : one.status));
  expect(codes.toSorted()).toEqual(['fulfilled', 'job_conflict', 'job_conflict']);
  const { turns } = await client.jobs.result('at-once');
  const won = settled.findIndex(({ status }) => status === 'fulfilled');
  expect(turns.map(({ message }) => message)).toEqual([['one', 'two', 'three'][won]]);
});

test('under the id of a job that Temporal has forgotten nobody starts another, not even past the client', async ({ onTestFinished }) => {
  const { client, config, temporal } = stack();
  const id = 'forgotten';
  await client.jobs.submit(SPEC, { id });
  const first = await client.jobs.result(id);
  const connection = await Connection.connect({ address: temporal.address });
  const database = openDatabase(String(config.databaseUrl));
  onTestFinished(async () => {
    await Promise.all([connection.close(), database.close()]);
  });
  const { namespace } = temporal;
  await connection.workflowService.deleteWorkflowExecution({ namespace, workflowExecution: { workflowId: id } });
  await expect.poll(async () => client.jobs.status(id).catch(({ code }: { code: string }) => code)).toBe('job_not_found');
  await expect(client.jobs.submit(SPEC, { id })).rejects.toMatchObject({
    code: 'job_conflict',
    message: expect.stringContaining(id) as unknown,
  });
  await expect(client.jobs.submit({ ...SPEC, prompts: ['!say second'] }, { id })).rejects.toMatchObject({ code: 'job_conflict' });

  const spec = parseJobSpec({ ...SPEC, prompts: ['!say second'] }, Date.now());
  const input = { ...spec, prompts: await storePrompts(database.db, id, spec.prompts) };
  const { workflow } = new Client({ connection, namespace });
  const running = workflow.execute(JOB_WORKFLOW, { workflowId: id, taskQueue: config.taskQueue, args: [input] });
  await expect(running).rejects.toMatchObject({ cause: { type: 'job_conflict' } });
  const minted = (await client.keys.list({ jobId: id })).items.filter(({ mintedAt }) => mintedAt !== null);
  expect(minted.map(({ ref }) => ref)).toEqual(first.keys.map(({ ref }) => ref));
  expect(await client.jobs.result(id)).toEqual(first);
  const said: string[] = [];
  for await (const event of client.jobs.events(id, { follow: false })) if (event.type === 'job.ended') said.push(event.outcome);
  expect(said).toEqual(['completed']);
});
