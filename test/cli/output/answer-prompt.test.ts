import { PassThrough } from 'node:stream';

import { expect, test } from 'vitest';

import { createAnswerPrompt, type AnswerPrompt } from '../../../src/cli/output/answer-prompt.ts';
import { ValetkeyError } from '../../../src/contract/errors.ts';
import type { JobEvent } from '../../../src/contract/events.ts';

interface Terminal {
  prompt: AnswerPrompt;
  type: (line: string) => void;
  input: PassThrough;
  answers: string[];
  shown: string[];
}

function terminal({ isTTY = true, refuse }: { isTTY?: boolean; refuse?: ValetkeyError } = {}): Terminal {
  const input = Object.assign(new PassThrough(), { isTTY });
  const answers: string[] = [];
  const shown: string[] = [];
  const answer = async (question: string, decision: string): Promise<void> => {
    answers.push(`${question} ${decision}`);
    if (refuse !== undefined) throw refuse;
  };
  const prompt = createAnswerPrompt({ jobId: 'job', input, answer, show: (line) => void shown.push(line) });
  return { prompt, type: (line) => void input.write(`${line}\n`), input, answers, shown };
}

function asked(id: string): JobEvent {
  const question = { title: 'Write a.txt', kind: 'edit', toolCall: 'call-1', details: '--- a.txt\n+++ a.txt\n+b' };
  return { type: 'permission.asked', seq: 1, at: '2026-01-01T00:00:00Z', turn: 1, id, ...question };
}

const answered: JobEvent = {
  type: 'permission.answered',
  seq: 2,
  at: '2026-01-01T00:00:01Z',
  turn: 1,
  id: 'q1',
  answer: 'deny',
  by: 'timeout',
};

test('y and n on a terminal answer the oldest open question', async () => {
  const { prompt, type, answers } = terminal();
  expect(prompt.add(asked('q1'))).toEqual(['--- a.txt', '+++ a.txt', '+b']);
  prompt.add(asked('q2'));
  expect(prompt.label()).toBe('Allow it? y/n ');
  type('y');
  type(' NO ');
  await expect.poll(() => answers).toEqual(['q1 allow', 'q2 deny']);
  expect(prompt.label()).toBeNull();
  type('y');
  prompt.close();
  expect(answers).toHaveLength(2);
});

test('another word answers nothing, and says what does', async () => {
  const { prompt, type, answers, shown } = terminal();
  prompt.add(asked('q1'));
  type('maybe');
  type('');
  await expect.poll(() => shown).toEqual(Array.from({ length: 2 }, () => 'Type y to allow it, or n to deny it.'));
  expect(answers).toEqual([]);
  prompt.close();
});

test('a question that was answered elsewhere is asked no more', async () => {
  const { prompt, type, answers } = terminal();
  prompt.add(asked('q1'));
  prompt.add(asked('q2'));
  expect(prompt.add(answered)).toEqual([]);
  type('n');
  await expect.poll(() => answers).toEqual(['q2 deny']);
  prompt.close();
});

test('an answer that no worker accepted can be given again, and one that came too late cannot', async () => {
  const away = terminal({ refuse: new ValetkeyError('no_worker', 'No worker took it.') });
  away.prompt.add(asked('q1'));
  away.type('y');
  await expect.poll(() => away.prompt.label()).toBe('Allow it? y/n ');
  expect(away.shown).toEqual(['The answer was not accepted: No worker took it.']);
  const late = terminal({ refuse: new ValetkeyError('no_such_question', 'It is not open.') });
  late.prompt.add(asked('q1'));
  late.type('y');
  await expect.poll(() => late.shown).toEqual(['The answer was not accepted: It is not open.']);
  expect(late.prompt.label()).toBeNull();
});

test('without a terminal the answering command is shown, and nothing is read', () => {
  const { prompt, input } = terminal({ isTTY: false });
  expect(prompt.add(asked('q1')).at(-1)).toBe('To answer: valetkey answer job q1 allow|deny');
  expect(prompt.label()).toBeNull();
  expect(input.listenerCount('data')).toBe(0);
  prompt.close();
});

test('the end of the input names the command for what is still open', async () => {
  const { prompt, input, shown } = terminal();
  prompt.add(asked('q1'));
  input.end();
  await expect.poll(() => shown).toEqual(['To answer: valetkey answer job q1 allow|deny']);
  expect(prompt.label()).toBeNull();
});
