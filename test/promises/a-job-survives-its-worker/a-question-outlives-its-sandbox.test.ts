// A question may be open for days. A job that waits at one holds no sandbox and no active key, as one that waits for a prompt, and the answer
// reaches the agent in another sandbox.
import { describe, expect, test, vi } from 'vitest';

import type { JobSpecInput } from '../../../src/contract/spec-input.ts';
import { withScript, type Step } from '../../../src/dev/scripted-model/script.ts';
import { expectEnded, secretOf, statusWith } from '../../helpers/ended.ts';
import { killSandboxes, sandboxRemains } from '../../helpers/sandbox-remains.ts';
import { jobSpec, useStack } from '../../helpers/stack.ts';
import { WAIT } from '../../helpers/wait.ts';

const stack = useStack();

/** The agent asks for the first command before the job hibernates, and for the others after it. */
function asking(...commands: string[]): string {
  return withScript('Work.', [...commands.map((run): Step => ({ run })), { say: 'done' }]);
}

const LINE = 'echo heron >> made';

async function submit(prompt: string, change: Partial<JobSpecInput> = {}): Promise<string> {
  const spec = jobSpec({ agent: 'mock', permissions: 'ask', hibernateAfter: '3s', prompts: [prompt], ...change });
  return (await stack().client.jobs.submit(spec)).jobId;
}

/** Resolves to the open question once the job hibernates. */
async function hibernated(jobId: string): Promise<string> {
  await vi.waitFor(async () => expect((await stack().client.jobs.status(jobId)).phase).toBe('hibernated'), WAIT);
  return questionOf(jobId);
}

async function questionOf(jobId: string): Promise<string> {
  return (await stack().client.jobs.status(jobId)).question?.id ?? '';
}

/** Resolves to the id of a question other than `earlier`. */
async function nextQuestion(jobId: string, earlier: string): Promise<string> {
  return vi.waitFor(async () => {
    const question = await questionOf(jobId);
    expect(['', earlier]).not.toContain(question);
    return question;
  }, WAIT);
}

async function patchOf(jobId: string): Promise<string> {
  return String((await stack().client.jobs.artifact(jobId, 'patch'))?.content);
}

const timesIn = (text: string, part: string): number => text.split(part).length - 1;

describe.concurrent('a job whose question nobody answers for long', () => {
  test('holds no sandbox and no active key, and goes on when it is allowed, without asking the same again', async () => {
    const { client } = stack();
    const jobId = await submit(asking(LINE, LINE));
    const question = await hibernated(jobId);
    const { keys, keyState, sandbox } = await client.jobs.status(jobId);
    expect({ keyState, sandbox }).toEqual({ keyState: 'revoked', sandbox: null });
    for (const { ref } of keys) expect(await statusWith(stack(), secretOf(stack(), ref))).toBe(401);
    expect(await sandboxRemains(stack(), jobId)).toEqual([]);
    expect((await client.jobs.questions()).map(({ id }) => id)).toContain(question);
    await client.jobs.answer(jobId, question, 'allow');
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.keys).toHaveLength(2);
    expect(result.turns).toEqual([{ stopReason: 'end_turn', message: 'done' }]);
    expect(timesIn(await patchOf(jobId), '+heron')).toBe(1);
    expect((await client.jobs.questions()).filter(({ jobId: of }) => of === jobId)).toEqual([]);
  });

  test('is told when it is denied, and the same again is denied, too', async () => {
    const jobId = await submit(asking(LINE, LINE));
    await stack().client.jobs.answer(jobId, await hibernated(jobId), 'deny');
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.turns).toEqual([{ stopReason: 'end_turn', message: 'done' }]);
    expect(await stack().client.jobs.artifact(jobId, 'patch')).toBeNull();
  });

  test.each([
    ['something else', [LINE, 'echo other >> made'], 1, 0],
    ['the same again and again', [LINE, LINE, LINE, LINE], 2, 1],
  ])('and then wants %s: that is asked', async (_what, commands, asked, done) => {
    const { client } = stack();
    const jobId = await submit(asking(...commands));
    let question = await hibernated(jobId);
    await client.jobs.answer(jobId, question, 'allow');
    for (let count = 0; count < asked; count += 1) {
      question = await nextQuestion(jobId, question);
      await client.jobs.answer(jobId, question, 'deny');
    }
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    const patch = await client.jobs.artifact(jobId, 'patch');
    expect(timesIn(String(patch?.content ?? ''), '+heron')).toBe(done);
  });

  test('hibernates again at the next question', async () => {
    const { client } = stack();
    const jobId = await submit(asking(LINE, LINE, 'echo other >> made'));
    const question = await hibernated(jobId);
    await client.jobs.answer(jobId, question, 'allow');
    const next = await nextQuestion(jobId, question);
    await hibernated(jobId);
    await client.jobs.answer(jobId, next, 'allow');
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.keys).toHaveLength(3);
    const patch = await patchOf(jobId);
    expect([timesIn(patch, '+heron'), timesIn(patch, '+other')]).toEqual([1, 0]);
  });

  test('is denied when its time is over, and the agent goes on', async () => {
    const jobId = await submit(asking(LINE), { permissionTimeout: '30s' });
    await hibernated(jobId);
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.turns.map(({ stopReason }) => stopReason)).toEqual(['end_turn']);
  });

  test('is interrupted: the turn ends, and the next prompt runs', async () => {
    const { client } = stack();
    const jobId = await submit(asking(LINE), { prompts: [asking(LINE), '!recall'] });
    await hibernated(jobId);
    await client.jobs.interrupt(jobId);
    const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
    expect(result.turns.map(({ stopReason }) => stopReason)).toEqual(['cancelled', 'end_turn']);
    expect(result.turns[1]?.message).toContain('Work.');
    expect(await client.jobs.artifact(jobId, 'patch')).toBeNull();
  });

  test('is cancelled: its work up to then comes out', async () => {
    const { client } = stack();
    const jobId = await submit(asking(LINE, 'echo other >> made'));
    await client.jobs.answer(jobId, await nextQuestion(jobId, ''), 'allow');
    await hibernated(jobId);
    await client.jobs.cancel(jobId);
    await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
    expect(timesIn(await patchOf(jobId), '+heron')).toBe(1);
  });

  test('keeps its sandbox where it is not to be restored', async () => {
    const { client } = stack();
    const jobId = await submit(asking(LINE), { onSandboxLoss: 'fail', hibernateAfter: '1s' });
    const question = await nextQuestion(jobId, '');
    await vi.waitFor(async () => expect((await client.jobs.questions()).map(({ id }) => id)).toContain(question), WAIT);
    expect((await client.jobs.status(jobId)).phase).toBe('waiting');
    await client.jobs.answer(jobId, question, 'allow');
    await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  });
});

test('a job that hibernates at a question loses the next sandbox while it wakes: another one takes its place', async () => {
  const { client } = stack();
  const jobId = await submit(asking(LINE, LINE));
  const question = await hibernated(jobId);
  await client.jobs.answer(jobId, question, 'allow');
  await vi.waitFor(async () => expect(await sandboxRemains(stack(), jobId)).not.toEqual([]), WAIT);
  await killSandboxes(stack());
  const result = await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(result.keys.length).toBeGreaterThan(1);
  expect(timesIn(await patchOf(jobId), '+heron')).toBe(1);
});

test.each([
  ['first', []],
  ['second', ['!say hello']],
])('a job that may repeat its prompt loses its sandbox at a question of its %s turn: the turn begins again', async (_which, before) => {
  const { client } = stack();
  const jobId = await submit('', { hibernateAfter: '5m', onInterrupted: 'continue', prompts: [...before, asking(LINE)] });
  const question = await nextQuestion(jobId, '');
  await killSandboxes(stack());
  await client.jobs.answer(jobId, question, 'allow');
  await client.jobs.answer(jobId, await nextQuestion(jobId, question), 'allow');
  await expectEnded(stack(), jobId, { outcome: 'completed', code: null });
  expect(timesIn(await patchOf(jobId), '+heron')).toBe(1);
});
