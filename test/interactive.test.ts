import { test } from 'vitest';

import type { JobEvent } from '../src/contract/events.ts';
import type { JobSpecInput } from '../src/contract/spec.ts';
import { expectEnded } from './helpers/ended.ts';
import { jobSpec, useStack } from './helpers/stack.ts';

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
  await expect(client.jobs.interrupt(jobId)).rejects.toMatchObject({ code: 'nothing_to_do' });
  await expect(client.jobs.answer(jobId, 'any', 'allow')).rejects.toMatchObject({ code: 'nothing_to_do' });
  await client.jobs.cancel(jobId);
  await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
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
