import { createHash } from 'node:crypto';

import { expect, test } from 'vitest';

import type { PromptRef, PromptRequest } from '../../src/contract/requests.ts';
import { Conversation, MAX_TURNS } from '../../src/workflows/sandbox-job/conversation.ts';

function stored(text: string): PromptRef {
  return { sha256: createHash('sha256').update(text).digest('hex'), bytes: text.length, words: text };
}

function prompt(id: string, text: string): PromptRequest {
  return { id, ...stored(text) };
}

test('prompts are turns in the order in which they came', () => {
  const conversation = new Conversation([stored('one')]);
  expect(conversation.add(prompt('a', 'two'))).toBe(2);
  expect(conversation.next()).toEqual({ turn: 1, prompt: stored('one') });
  expect(conversation.next()).toEqual({ turn: 2, prompt: stored('two') });
  expect(conversation.hasNext).toBe(false);
  expect(conversation.next()).toBeNull();
  expect(conversation.add(prompt('b', 'three'))).toBe(3);
  expect(conversation.hasNext).toBe(true);
});

test('a prompt with the same id is the same turn, also after it has run and the job has closed', () => {
  const conversation = new Conversation([]);
  conversation.add(prompt('a', 'one'));
  conversation.next();
  conversation.close();
  expect(() => conversation.check(prompt('a', 'one'))).not.toThrow();
  expect(conversation.add(prompt('a', 'one'))).toBe(1);
  expect(conversation.turns).toBe(1);
});

test('a conversation that another run goes on with knows what ran, what waits and every id', () => {
  const first = new Conversation([stored('one'), stored('two')]);
  first.add(prompt('a', 'three'));
  first.next();
  const conversation = new Conversation([], structuredClone(first.carry()));
  expect(conversation.turns).toBe(3);
  expect(conversation.add(prompt('a', 'three'))).toBe(3);
  expect(() => conversation.check(prompt('a', 'other'))).toThrow(expect.objectContaining({ type: 'prompt_conflict' }));
  expect(conversation.next()).toEqual({ turn: 2, prompt: stored('two') });
  expect(conversation.next()).toEqual({ turn: 3, prompt: stored('three') });
  expect(conversation.next()).toBeNull();
});

test.each([
  ['another text under an id that is there', prompt('a', 'other'), false, 'prompt_conflict'],
  ['a prompt for a job that is ending', prompt('b', 'one'), true, 'job_closed'],
])('%s is refused', (_, request, closed, type) => {
  const conversation = new Conversation([]);
  conversation.add(prompt('a', 'one'));
  if (closed) conversation.close();
  expect(() => conversation.check(request)).toThrow(expect.objectContaining({ type }));
});

test('a job takes 1,000 prompts, and all that the next run gets of them stays below 512 KB', () => {
  const conversation = new Conversation([]);
  for (let turn = 1; turn <= MAX_TURNS; turn += 1) {
    const request = prompt(String(turn).padStart(128, '0'), '保'.repeat(60));
    expect(() => conversation.check(request)).not.toThrow();
    conversation.add(request);
  }
  expect(MAX_TURNS).toBe(1000);
  expect(() => conversation.check(prompt('1001', 'one'))).toThrow(expect.objectContaining({ type: 'job_closed' }));
  expect(Buffer.byteLength(JSON.stringify(conversation.carry()))).toBeLessThan(512 * 1024);
});
