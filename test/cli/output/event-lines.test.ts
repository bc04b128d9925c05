import { expect, test } from 'vitest';

import { eventLines } from '../../../src/cli/output/event-lines.ts';
import type { JobEvent, JobEventBody, UnknownEventBody } from '../../../src/contract/events.ts';

const ESCAPE = '\u001B';

/** The lines of these events, one second apart, and what is left. */
function told(...bodies: (JobEventBody | UnknownEventBody)[]): string[] {
  const lines = eventLines((_format, text) => text);
  const events = bodies.map((body, index): JobEvent => ({ ...body, seq: index + 1, at: new Date(index * 1000).toISOString() }));
  return [...events.flatMap((event) => lines.add(event)), ...lines.rest()];
}

const message = (text: string): JobEventBody => ({ type: 'message', turn: 1, text });
const tool = (status: string, title = 'node --test', output: string | null = null): JobEventBody => ({
  type: 'tool',
  turn: 1,
  id: 'call-1',
  title,
  kind: null,
  status,
  output,
});

test('the pieces of a message become its lines', () => {
  expect(
    told(message('I run '), message('the test.\nIt'), message(' fails.'), {
      type: 'turn.ended',
      turn: 1,
      stopReason: 'end_turn',
      code: null,
    }),
  ).toEqual(['   0.0s  says     I run the test.', '                  It fails.', '   3.0s  turn 1   ended: end_turn']);
});

test('the first use of the key, which the gateway reports, breaks no message', () => {
  expect(told({ type: 'key.bound', ref: 'j/l/1' }, message('I run '), { type: 'key.used', ref: 'j/l/1' }, message('it.'))).toEqual([
    '   0.0s  key      bound to the sandbox',
    '   2.0s  key      first used',
    '   1.0s  says     I run it.',
  ]);
});

test('a message that ends with a line break leaves no empty line behind', () => {
  expect(told(message('Done.\n'))).toEqual(['   0.0s  says     Done.']);
});

test('a tool is told once when it starts, and what it put out when it ends', () => {
  const output = Array.from({ length: 10 }, (_, index) => `line ${index}`).join('\n');
  expect(told(tool('pending'), tool('in_progress'), tool('completed', 'node --test', output))).toEqual([
    '   0.0s  tool     node --test',
    ...Array.from({ length: 8 }, (_, index) => `                  line ${index}`),
    '                  … 2 more lines',
  ]);
});

test('an output that is stored cut says so below its first lines', () => {
  const output = `${'line\n'.repeat(9)}[… 1234 characters cut …]\nlast`;
  expect(told(tool('completed', 'node --test', output)).at(-1)).toBe('                  … 3 more lines, and 1234 characters cut');
});

test('a tool that is named only in its second event is told by that name', () => {
  expect(told(tool('pending', 'Terminal'), tool('pending', 'git log'), tool('completed', 'git log'))).toEqual([
    '   0.0s  tool     git log',
  ]);
});

test('a tool that is announced and never heard of again is told all the same', () => {
  expect(told(tool('pending', 'git log'))).toEqual(['   0.0s  tool     git log']);
});

test('a tool that fails is said to', () => {
  expect(told(tool('failed', 'false'))).toEqual(['   0.0s  tool     false', '                  failed']);
});

test('what an agent writes cannot move the cursor, rename the window or hide lines', () => {
  const hostile = `${ESCAPE}[2J${ESCAPE}]0;owned\u0007a\rb\u0008\u009B31mc`;
  const lines = told(message(hostile), tool('completed', hostile, hostile), { type: 'warning', code: 'x', message: hostile });
  expect(lines.join('\n')).not.toMatch(/[^\P{Cc}\n]/u);
  expect(lines).toHaveLength(4);
});

function ended(outcome: 'cancelled' | 'failed', code: 'cancelled' | 'llm_failed', text: string): string[] {
  return told({ type: 'job.ended', outcome, code, message: text });
}

test('an outcome that is its own code is told once, a failure by its code', () => {
  expect(ended('cancelled', 'cancelled', 'The job was cancelled.')).toEqual(['   0.0s  job      cancelled: The job was cancelled.']);
  expect(ended('failed', 'llm_failed', 'The provider failed.')).toEqual(['   0.0s  job      failed: llm_failed: The provider failed.']);
});

test('an event of a newer version is one line, without what could move the cursor', () => {
  expect(
    told({ type: 'unknown', rawType: `progress${ESCAPE}[2J`, body: { type: 'progress', percent: 40, text: `a${ESCAPE}[2J\n` } }),
  ).toEqual([String.raw`   0.0s  event    progress, of a newer version: {"type":"progress","percent":40,"text":"a\u001b[2J\n"}`]);
});
