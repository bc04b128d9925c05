/** The instructions of a job reach its agent with each key, and Temporal holds none of their text. */
import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';

import { expectEnded } from './helpers/ended.ts';
import { jobSpec, useStack } from './helpers/stack.ts';
import { readable } from './secret-scan/place.ts';

const INSTRUCTIONS = `Count the wheatears. ${'The nest is under the stones, and nobody is to look. '.repeat(400)}`;
/** Waits for the next key, which is the last file that is written with it. */
const AFTER_ROTATION =
  'key=$(cat ~/.valetkey/key); while [ "$(cat ~/.valetkey/key)" = "$key" ]; do sleep 0.1; done; cat ~/.mock/settings.json';

const stack = useStack();

test('instructions are the same after a rotation in mid-turn and in the next turn, and are not in the history', async () => {
  const { client, temporal } = stack();
  const prompts = [`!run ${AFTER_ROTATION}`, '!run cat ~/.mock/settings.json'];
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', instructions: INSTRUCTIONS, prompts }));
  const said: string[] = [];
  for await (const event of client.jobs.events(jobId)) {
    if (event.type === 'tool' && event.status === 'pending' && said.length === 0) await client.keys.rotate(jobId);
    if (event.type === 'tool' && event.status === 'completed') said.push(JSON.stringify(event));
  }
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(said.map((text) => text.includes('Count the wheatears.'))).toEqual([true, true]);

  const connection = await Connection.connect({ address: temporal.address });
  const history = readable(await new Client({ connection, namespace: temporal.namespace }).workflow.getHandle(jobId).fetchHistory());
  await connection.close();
  expect(history).toContain('Count the wheatears.');
  expect(history).not.toContain('nobody is to look');
});

test('a job with other instructions is another job', async () => {
  const { client } = stack();
  const spec = jobSpec({ agent: 'mock', instructions: 'One.', prompts: ['!say done'] });
  const { jobId } = await client.jobs.submit(spec);
  await expect(client.jobs.submit(spec, { id: jobId })).resolves.toMatchObject({ created: false });
  await expect(client.jobs.submit({ ...spec, instructions: 'Two.' }, { id: jobId })).rejects.toMatchObject({ code: 'job_conflict' });
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
});

test('new instructions for a session that keeps those of its first job are refused, before the other job is looked for', async () => {
  const { client } = stack();
  const spec = { instructions: 'Two.', continues: 'no-such-job' };
  const refusals = (['claude', 'codex', 'opencode'] as const).map(async (agent) =>
    client.jobs.submit(jobSpec({ agent, ...spec, model: agent === 'claude' ? 'claude-sonnet-4-6' : 'gpt-5.1' })).catch(String),
  );
  const [claude, codex, opencode] = await Promise.all(refusals);
  expect(claude).toContain('instructions: must not be in a job that continues another');
  expect(codex).toContain('instructions: must not be in a job that continues another');
  expect(opencode).toContain('has no checkpoint');
});
