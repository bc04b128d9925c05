import { Client, Connection, WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { test } from 'vitest';

import type { JobEvent } from '../src/contract/events.ts';
import type { JobSpecInput } from '../src/contract/spec-input.ts';
import { withScript } from '../src/dev/scripted-model/index.ts';
import { expectEnded } from './helpers/ended.ts';
import { jobSpec, useStack } from './helpers/stack.ts';
import { untyped } from './helpers/untyped.ts';
import { readable } from './secret-scan/place.ts';

const stack = useStack();

async function submit(change: Partial<JobSpecInput>): Promise<string> {
  return (await stack().client.jobs.submit(jobSpec({ agent: 'mock', ...change }))).jobId;
}

/** Resolves to the first event of a type. */
async function seen<T extends JobEvent['type']>(jobId: string, type: T, turn?: number): Promise<Extract<JobEvent, { type: T }>> {
  for await (const event of stack().client.jobs.events(jobId)) {
    if (is(event, type) && (turn === undefined || ('turn' in event && event.turn === turn))) return event;
  }
  throw new Error(`the job ended without ${type}`);
}

function is<T extends JobEvent['type']>(event: JobEvent, type: T): event is Extract<JobEvent, { type: T }> {
  return event.type === type;
}

/** What Temporal's UI shows of a job. */
async function currentDetails(handle: WorkflowHandle): Promise<string> {
  const { currentDetails: details } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return details;
}

async function eventsOf(jobId: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of stack().client.jobs.events(jobId)) events.push(event);
  return events;
}

test.concurrent('a job that is kept open takes prompts, each once, and ends when none came for long enough', async ({ expect }) => {
  const { client } = stack();
  const jobId = await submit({ prompts: [], keepOpen: '4s' });
  expect(await client.jobs.prompt(jobId, '!say one', { id: 'first' })).toEqual({ turn: 1 });
  expect(await client.jobs.prompt(jobId, '!say one', { id: 'first' })).toEqual({ turn: 1 });
  await expect(client.jobs.prompt(jobId, '!say other', { id: 'first' })).rejects.toMatchObject({ code: 'prompt_conflict' });
  await expect(client.jobs.prompt(jobId, ' ')).rejects.toMatchObject({ code: 'invalid_spec' });
  await seen(jobId, 'turn.ended', 1);
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  expect(await client.jobs.prompt(jobId, '!recall')).toEqual({ turn: 2 });
  const { turns } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(turns.map(({ message }) => message.trim())).toEqual(['one', '!say one']);
  await expect(client.jobs.prompt(jobId, '!say late')).rejects.toMatchObject({ code: 'job_closed' });
  await expect(client.jobs.interrupt(jobId)).rejects.toMatchObject({ code: 'job_closed' });
});

test.concurrent('what is asked of a job that is not there says so', async ({ expect }) => {
  const { client } = stack();
  await expect(client.jobs.prompt('nobody', '!say one')).rejects.toMatchObject({ code: 'job_not_found' });
  await expect(client.jobs.interrupt('nobody')).rejects.toMatchObject({ code: 'job_not_found' });
  await expect(client.jobs.answer('nobody', 'any', 'allow')).rejects.toMatchObject({ code: 'job_not_found' });
});

test.concurrent('an interrupt ends the turn and not the job, which remembers the turn', async ({ expect }) => {
  const { client } = stack();
  const jobId = await submit({ prompts: ['!say begun\n!hang', '!recall'] });
  await seen(jobId, 'message', 1);
  expect(await client.jobs.interrupt(jobId)).toEqual({ turn: 1 });
  const { turns } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(turns).toEqual([
    { stopReason: 'cancelled', message: 'begun' },
    { stopReason: 'end_turn', message: expect.stringContaining('!hang') as unknown },
  ]);
});

test.concurrent('between turns there is nothing to interrupt, and nothing to answer', async ({ expect }) => {
  const { client } = stack();
  const jobId = await submit({ prompts: ['!say one'], keepOpen: '5s' });
  await seen(jobId, 'turn.ended', 1);
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  await expect(client.jobs.interrupt(jobId)).rejects.toMatchObject({ code: 'no_running_turn' });
  await expect(client.jobs.answer(jobId, 'any', 'allow')).rejects.toMatchObject({ code: 'no_such_question' });
  await client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
});

test.concurrent('what Temporal’s UI sends in another form is refused with the reason, and is not in the history', async ({ expect }) => {
  const { client, temporal } = stack();
  const connection = await Connection.connect({ address: temporal.address });
  const { workflow } = new Client({ connection, namespace: temporal.namespace });
  const jobId = await submit({ prompts: ['!ask may I?'], permissions: 'ask' });
  await expect.poll(async () => (await client.jobs.status(jobId)).question?.title).toBe('may I?');
  const { question } = await client.jobs.status(jobId);
  const handle = workflow.getHandle(jobId);
  const send = async (name: string, ...args: [] | [unknown]): Promise<string> => {
    const update = args.length === 0 ? handle.executeUpdate(name) : handle.executeUpdate<unknown, [unknown]>(name, { args });
    const failed = await update.then(
      () => null,
      (error: unknown) => (error instanceof WorkflowUpdateFailedError ? error.cause : error),
    );
    return failed instanceof ApplicationFailure ? `${failed.type}: ${failed.message}` : String(failed);
  };
  const answer = { question: question?.id, turn: 1, answer: 'yes' };
  expect(await send('answer', answer)).toBe('invalid_spec: answer: answer: must be "allow" or "deny"');
  expect(await send('answer', { turn: 1, answer: 'allow' })).toBe('invalid_spec: answer: question: is required');
  expect(await send('answer')).toBe('invalid_spec: answer: must be an object with question, turn, answer');
  expect(await send('answer', 'allow')).toBe('invalid_spec: answer: must be an object with question, turn, answer');
  expect(await send('prompt', { id: 'a', text: 'Hello' })).toBe('invalid_spec: prompt: sha256: is required');
  expect(await send('interrupt', { turn: 1 })).toBe('invalid_spec: interrupt: turn: unknown field');
  expect(await send('rotateKey', 2)).toBe('invalid_spec: rotateKey: must be left out');
  await expect(client.jobs.answer(jobId, question?.id ?? '', untyped('yes'))).rejects.toMatchObject({ code: 'invalid_spec' });
  await expect(client.jobs.answer(jobId, '', 'allow')).rejects.toMatchObject({ code: 'invalid_spec' });
  // A signal cannot be refused: its handler ignores it, and the job goes on.
  await handle.signal('sandboxLost');
  await handle.signal('sandboxLost', 'all of them');
  expect((await client.jobs.status(jobId)).question).toEqual(question);
  await client.jobs.answer(jobId, question?.id ?? '', 'allow');
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  const { events } = await handle.fetchHistory();
  const accepted = (events ?? []).flatMap(
    (event) => event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input?.name ?? [],
  );
  expect(accepted).toEqual(['answer']);
  expect((await eventsOf(jobId)).filter((event) => event.type === 'unknown')).toEqual([]);
  await connection.close();
});

test.concurrent('a workflow that is started with another input fails with the reason, and revokes nothing', async ({ expect }) => {
  const { temporal, config } = stack();
  const connection = await Connection.connect({ address: temporal.address });
  const { workflow } = new Client({ connection, namespace: temporal.namespace });
  for (const type of ['sweep', 'rotateKeys', 'revokeKeys']) {
    const run = workflow.execute(type, { workflowId: `malformed-${type}`, taskQueue: config.taskQueue, args: [{}] });
    await expect(run).rejects.toMatchObject({ cause: { type: 'invalid_spec' } });
  }
  await connection.close();
});

test.concurrent.for(['allow', 'deny'] as const)(
  'a question waits for its answer, and %s is what the agent gets',
  async (answer, { expect }) => {
    const { client } = stack();
    const jobId = await submit({ prompts: ['!run echo done > made.txt\n!run cat made.txt'], permissions: 'ask' });
    const asked = await seen(jobId, 'permission.asked');
    await expect
      .poll(async () => (await client.jobs.status(jobId)).question)
      .toMatchObject({ id: asked.id, turn: 1, title: 'echo done > made.txt' });
    await client.jobs.answer(jobId, asked.id, answer);
    await expect.poll(async () => (await client.jobs.status(jobId)).question?.title).toBe('cat made.txt');
    const { question } = await client.jobs.status(jobId);
    await client.jobs.answer(jobId, question?.id ?? '', 'allow');
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    const events = await eventsOf(jobId);
    expect(events.filter((event) => is(event, 'permission.asked'))).toHaveLength(2);
    expect(events.filter((event) => is(event, 'permission.answered')).map((event) => [event.answer, event.by])).toEqual([
      [answer, 'user'],
      ['allow', 'user'],
    ]);
    const outputs = events.filter((event) => is(event, 'tool')).map(({ output }) => output ?? '');
    expect(outputs.some((output) => output.startsWith('done'))).toBe(answer === 'allow');
  },
);

test.concurrent('a job that waits for a person is found with its question, and Temporal’s page says what it waits for and has spent', async ({
  expect,
}) => {
  const { client, temporal } = stack();
  const tenant = 'waits-for-a-person';
  const prompt = withScript('Make it.', [{ run: 'touch made' }, { say: 'ready' }]);
  const jobId = await submit({ tenant, prompts: [prompt], permissions: 'ask' });
  await expect.poll(async () => (await client.jobs.questions({ tenant })).length).toBe(1);
  const [question] = await client.jobs.questions({ tenant });
  expect(question).toMatchObject({ jobId, tenant, agent: 'mock', turn: 1, title: 'touch made', kind: 'execute', details: 'touch made' });
  expect((await client.jobs.list({ tenant, waiting: true })).items.map((job) => [job.jobId, job.state, job.waiting])).toEqual([
    [jobId, 'running', true],
  ]);
  const { spentUsd, question: asked } = await client.jobs.status(jobId);
  expect(asked).toMatchObject({ details: 'touch made', toolCall: question?.toolCall });
  expect(spentUsd).toBeGreaterThan(0);
  const connection = await Connection.connect({ address: temporal.address });
  const { workflow } = new Client({ connection, namespace: temporal.namespace });
  const details = await currentDetails(workflow.getHandle(jobId));
  expect(details).toContain('an answer, until');
  expect(details).toContain(`**spent:** ${spentUsd.toFixed(6)} of 1 USD`);
  const history = readable(await workflow.getHandle(jobId).fetchHistory());
  expect(history).toContain(question?.id);
  expect(history).not.toContain(question?.toolCall);

  await client.jobs.answer(jobId, question?.id ?? '', 'allow');
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(await client.jobs.questions({ tenant })).toEqual([]);
  await expect.poll(async () => (await client.jobs.list({ tenant })).items.map(({ waiting }) => waiting)).toEqual([false]);
  await connection.close();
});

test.concurrent('an answer that comes at once costs no action for the list of those that wait', async ({ expect }) => {
  const { client, temporal } = stack();
  const jobId = await submit({ prompts: ['!ask one\n!ask two'], permissions: 'ask' });
  for await (const event of client.jobs.events(jobId))
    if (event.type === 'permission.asked') await client.jobs.answer(jobId, event.id, 'allow');
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  const connection = await Connection.connect({ address: temporal.address });
  const { workflow } = new Client({ connection, namespace: temporal.namespace });
  const { events } = await workflow.getHandle(jobId).fetchHistory();
  expect((events ?? []).filter((event) => event.upsertWorkflowSearchAttributesEventAttributes != null)).toHaveLength(1);
  await connection.close();
});

test.concurrent('Temporal’s page of a failed job has the code, and what to do', async ({ expect }) => {
  const { temporal } = stack();
  const jobId = await submit({ prompts: ['!exit'], workspace: { setup: ['exit 3'] } });
  await expectEnded(stack(), jobId, { outcome: 'failed', code: 'setup_failed' });
  const connection = await Connection.connect({ address: temporal.address });
  const { workflow } = new Client({ connection, namespace: temporal.namespace });
  const details = await currentDetails(workflow.getHandle(jobId));
  expect(details).toContain('**failure:** `setup_failed`');
  expect(details).toContain('**what to do:** Read the output of the command');
  await connection.close();
});

test.concurrent('a question that nobody answers is denied when its time is over', async ({ expect }) => {
  const jobId = await submit({ prompts: ['!ask anybody there?'], permissions: 'ask', permissionTimeout: '1s' });
  const { turns } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(turns[0]?.message).toBe('denied');
  expect((await eventsOf(jobId)).find((event) => is(event, 'permission.answered'))).toMatchObject({ answer: 'deny', by: 'timeout' });
});

test.concurrent('a policy answers by itself', async ({ expect }) => {
  const jobId = await submit({ prompts: ['!ask may I?'], permissions: 'deny' });
  const { turns } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(turns[0]?.message).toBe('denied');
});

test.concurrent('an interrupt while a question is open ends the turn', async ({ expect }) => {
  const { client } = stack();
  const jobId = await submit({ prompts: ['!ask may I?\n!hang', '!say next'], permissions: 'ask' });
  await expect.poll(async () => (await client.jobs.status(jobId)).question?.title).toBe('may I?');
  await client.jobs.interrupt(jobId);
  const { turns } = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(turns.map(({ stopReason }) => stopReason)).toEqual(['cancelled', 'end_turn']);
});

test.concurrent('a job that is cancelled while a question is open ends at once', async ({ expect }) => {
  const { client } = stack();
  const jobId = await submit({ prompts: ['!ask may I?'], permissions: 'ask' });
  await expect.poll(async () => (await client.jobs.status(jobId)).question?.title).toBe('may I?');
  await client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
});
