import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, test, vi } from 'vitest';

import type { ValetkeyClient } from '../../src/client/client.ts';
import type { JobEvent } from '../../src/contract/events.ts';
import { withScript, type Step } from '../../src/dev/scripted-model/script.ts';
import { startTemporal, type DevTemporal } from '../../src/dev/temporal.ts';
import { expectEnded } from '../helpers/ended.ts';
import { processStack } from '../helpers/process-stack.ts';
import { jobSpec } from '../helpers/stack.ts';
import { WAIT } from '../helpers/wait.ts';
import { startGitServer } from '../workspace/git-server.ts';

/** Events of a history: Temporal suggests a new run after these, a hundredth of what it does by itself. */
const LONG = 40;

let temporal: DevTemporal | undefined;
let connection: Connection | undefined;

beforeAll(async () => {
  temporal = await startTemporal({ report: () => undefined, dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': LONG } });
  connection = await Connection.connect({ address: temporal.address });
});

afterAll(async () => {
  await connection?.close();
  await temporal?.stop();
});

function server(): { temporal: DevTemporal; workflow: Client['workflow'] } {
  if (temporal === undefined || connection === undefined) throw new Error('Temporal has not started');
  return { temporal, workflow: new Client({ connection, namespace: temporal.namespace }).workflow };
}

/** How many runs the job's workflow has had. */
async function runsOf(jobId: string): Promise<number> {
  let runs = 0;
  for await (const _ of server().workflow.list({ query: `WorkflowId = '${jobId}'` })) runs += 1;
  return runs;
}

async function eventsOf(client: ValetkeyClient, jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of client.jobs.events(jobId)) events.push(event);
  return events;
}

test('a conversation goes on over the runs of its workflow, its rotations and the death of its worker', async (context) => {
  const { expect } = context;
  const stack = await processStack(context, { temporal: server().temporal });
  const { client } = stack;
  const spec = jobSpec({ agent: 'mock', prompts: ['!say t1'], keepOpen: '20s', deadline: '5m' });
  const { jobId } = await client.jobs.submit(spec, { id: 'long-conversation' });
  const { startedAt, deadline } = await client.jobs.status(jobId);
  const texts = Array.from({ length: 16 }, (_, index) => `!say t${index + 2}`);
  texts[7] = '!chunks 30 100\n!say t9';
  for (const [index, text] of texts.entries())
    expect(await client.jobs.prompt(jobId, text, { id: `p${index}` })).toEqual({ turn: index + 2 });
  for await (const event of client.jobs.events(jobId)) if (event.type === 'turn.started' && event.turn === 4) break;
  await client.keys.rotate(jobId);
  for await (const event of client.jobs.events(jobId)) if (event.type === 'message' && event.turn === 9) break;
  await stack.worker.kill('SIGKILL');
  await stack.worker.start();
  for await (const event of client.jobs.events(jobId)) if (event.type === 'turn.ended' && event.turn === 17) break;

  expect(await runsOf(jobId), 'runs').toBeGreaterThan(2);
  expect(await client.jobs.submit(spec, { id: jobId }), 'the same job again').toEqual({ jobId, created: false });
  expect(await client.jobs.prompt(jobId, '!say t2', { id: 'p0' }), 'a prompt of the first run again').toEqual({ turn: 2 });
  await expect(client.jobs.prompt(jobId, '!say other', { id: 'p0' })).rejects.toMatchObject({ code: 'prompt_conflict' });
  const status = await client.jobs.status(jobId);
  expect(Math.abs(Date.parse(status.startedAt) - Date.parse(startedAt))).toBeLessThan(10_000);
  expect(status).toMatchObject({ state: 'running', deadline, turns: 17, tenant: 'acme' });
  expect((await client.jobs.list({ running: true })).items.map((job) => job.jobId)).toEqual([jobId]);
  const { raw } = await server().workflow.getHandle(jobId).describe();
  expect(raw.workflowExecutionInfo?.priority?.fairnessKey).toBe('acme');

  expect(await client.jobs.prompt(jobId, '!recall')).toEqual({ turn: 18 });
  const result = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  const said = Array.from({ length: 17 }, (_, index) => `t${index + 1}`);
  expect(result.turns.slice(0, 17).map(({ message }) => message.trim().split('\n').at(-1))).toEqual(said);
  expect(result.turns[17]?.message).toContain('!say t17');
  expect(result.keys).toHaveLength(2);
  const events = await eventsOf(client, jobId);
  expect(events.flatMap((event) => (event.type === 'turn.started' ? [event.turn] : []))).toEqual(said.map((_, i) => i + 1).concat(18));
  expect((await client.jobs.list({})).items.map((job) => [job.jobId, job.state])).toEqual([[jobId, 'completed']]);
});

test('a turn of many questions goes on over the runs of its workflow, and a program answers each as it is asked', async (context) => {
  const { expect } = context;
  const stack = await processStack(context, { temporal: server().temporal });
  const { client } = stack;
  const count = 40;
  const { jobId } = await client.jobs.submit(
    jobSpec({ agent: 'mock', prompts: [Array.from({ length: count }, (_, n) => `!ask q${n}`).join('\n')], permissions: 'ask' }),
  );
  const refused: unknown[] = [];
  for await (const event of client.jobs.events(jobId))
    if (event.type === 'permission.asked')
      await client.jobs.answer(jobId, event.id, 'allow').catch((error: unknown) => refused.push(error));
  expect(refused).toEqual([]);
  const { turns } = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  expect(turns.map(({ message }) => message)).toEqual(['allowed'.repeat(count)]);
  expect(await runsOf(jobId), 'runs').toBeGreaterThan(3);
  const answers = (await eventsOf(client, jobId)).flatMap((event) => (event.type === 'permission.answered' ? [event.by] : []));
  expect(answers).toEqual(Array.from({ length: count }, () => 'user'));
});

test('a turn whose job hibernates at each of its questions goes on over the runs of its workflow', async (context) => {
  const { expect } = context;
  const stack = await processStack(context, { temporal: server().temporal });
  const { client } = stack;
  const commands = ['one', 'two', 'three', 'four'].map((word): Step => ({ run: `echo ${word} >> made` }));
  // The agent is asked to go on, and repeats what it had asked for.
  const prompt = withScript('Work.', [...commands.flatMap((step) => [step, step]), { say: 'done' }]);
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: [prompt], permissions: 'ask', hibernateAfter: '3s' }));
  for (const _ of commands) {
    await vi.waitFor(async () => expect((await client.jobs.status(jobId)).phase).toBe('hibernated'), WAIT);
    const { question } = await client.jobs.status(jobId);
    await client.jobs.answer(jobId, question?.id ?? '', 'allow');
    await vi.waitFor(async () => expect((await client.jobs.status(jobId)).question?.id).not.toBe(question?.id), WAIT);
  }
  const { keys, turns } = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  expect([keys.length, turns.length]).toEqual([commands.length + 1, 1]);
  expect(await runsOf(jobId), 'runs').toBeGreaterThan(1);
  const patch = String((await client.jobs.artifact(jobId, 'patch'))?.content);
  expect(patch).toContain('+one\n+two\n+three\n+four\n');
});

test('a job that waits goes on in a new run, and ends when nobody came, with all of its keys and its branch', async (context) => {
  const { expect } = context;
  const stack = await processStack(context, { temporal: server().temporal });
  const { client } = stack;
  const git = await startGitServer();
  context.onTestFinished(() => git.close());
  const workspace = { git: git.url, push: { branch: 'fix' } };
  const spec = jobSpec({ agent: 'mock', prompts: ['!write one 1'], keepOpen: '25s', workspace, onSandboxLoss: 'fail' });
  const { jobId } = await client.jobs.submit(spec);
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  for (let generation = 2; generation <= 5; generation += 1) {
    await expect.poll(async () => client.keys.rotate(jobId).catch(() => null)).toMatchObject({ generation });
    await expect.poll(async () => (await client.keys.list({ jobId })).items.filter(({ state }) => state === 'active').length).toBe(1);
  }
  expect(await runsOf(jobId), 'runs').toBeGreaterThan(1);
  const { keys, push } = await expectEnded(stack, jobId, { outcome: 'completed', code: null });
  expect(keys).toHaveLength(5);
  expect(push).toEqual({ branch: 'fix', commit: expect.stringMatching(/^[\da-f]{40}$/) as unknown, failure: null });
});

test('a job in a later run is cancelled as any other', async (context) => {
  const stack = await processStack(context, { temporal: server().temporal });
  const { client } = stack;
  const prompts = [...Array.from({ length: 8 }, (_, n) => `!say ${n}`), '!hang'];
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts }));
  for await (const event of client.jobs.events(jobId)) if (event.type === 'turn.started' && event.turn === 9) break;
  await client.jobs.cancel(jobId);
  await expectEnded(stack, jobId, { outcome: 'cancelled', code: 'cancelled' });
});
