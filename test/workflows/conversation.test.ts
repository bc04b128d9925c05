import { expect, test } from 'vitest';

import { Conversation } from '../../src/workflows/conversation.ts';

test('prompts are turns in the order in which they came', () => {
  const conversation = new Conversation(['one']);
  expect(conversation.add({ id: 'a', text: 'two' })).toBe(2);
  expect(conversation.next()).toEqual({ turn: 1, prompt: 'one' });
  expect(conversation.next()).toEqual({ turn: 2, prompt: 'two' });
  expect(conversation.hasNext).toBe(false);
  expect(conversation.next()).toBeNull();
  expect(conversation.add({ id: 'b', text: 'three' })).toBe(3);
  expect(conversation.hasNext).toBe(true);
});

test('a prompt with the same id is the same turn, also after it has run and the job has closed', () => {
  const conversation = new Conversation([]);
  const prompt = { id: 'a', text: 'one' };
  conversation.add(prompt);
  conversation.next();
  conversation.close();
  expect(() => conversation.check(prompt)).not.toThrow();
  expect(conversation.add(prompt)).toBe(1);
  expect(conversation.turns).toBe(1);
});

test.each([
  ['another text under an id that is there', { id: 'a', text: 'other' }, false, 'prompt_conflict'],
  ['a prompt for a job that is ending', { id: 'b', text: 'one' }, true, 'job_closed'],
  ['a prompt that is no text', { id: 'b', text: 7 }, false, 'invalid_spec'],
  ['a prompt without an id', { text: 'one' }, false, 'invalid_spec'],
])('%s is refused', (_, request, closed, type) => {
  const conversation = new Conversation([]);
  conversation.add({ id: 'a', text: 'one' });
  if (closed) conversation.close();
  expect(() => conversation.check(request)).toThrow(expect.objectContaining({ type }));
});

test('a job takes 200 prompts', () => {
  const conversation = new Conversation([]);
  for (let turn = 1; turn <= 200; turn += 1) {
    const request = { id: String(turn), text: 'one' };
    expect(() => conversation.check(request)).not.toThrow();
    conversation.add(request);
  }
  expect(() => conversation.check({ id: '201', text: 'one' })).toThrow(expect.objectContaining({ type: 'job_closed' }));
});
