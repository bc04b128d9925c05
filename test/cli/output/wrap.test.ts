import { PassThrough } from 'node:stream';

import { expect, test } from 'vitest';

import { eventLines } from '../../../src/cli/output/event-lines.ts';
import { fitHelp } from '../../../src/cli/output/help-text.ts';
import { liveLines } from '../../../src/cli/output/live-lines.ts';
import { columnsOf, elapsed } from '../../../src/cli/output/text.ts';
import { wrapBehind, wrapWords } from '../../../src/cli/output/wrap.ts';

const RED = '\u001B[31m';

test('a text is broken between words, keeps its spaces, and a word that is longer than a line stays whole', () => {
  expect(wrapWords('one two  three', 9)).toEqual(['one two', 'three']);
  expect(wrapWords('  a  b', 6)).toEqual(['  a  b']);
  expect(wrapWords('see https://example.com/long now', 10)).toEqual(['see', 'https://example.com/long', 'now']);
});

test('colors take no width', () => {
  expect(wrapWords(`${RED}one two`, 7)).toEqual([`${RED}one two`]);
});

test('the lines behind a label begin below each other, also where hardly any width is left', () => {
  expect(wrapBehind('key  ', 'a word and then another one', 20)).toEqual(['key  a word and then', '     another one']);
  expect(wrapBehind(' '.repeat(30), 'a word and then another one', 31)).toHaveLength(2);
});

test('an event goes on below its text', () => {
  const at = '2026-01-01T00:00:00.000Z';
  const lines = eventLines((_format, text) => text, 40).add({ type: 'key.revoked', seq: 1, at, ref: 'j/l/1' });
  expect(lines).toEqual(['   0.0s  key      revoked: a request', '                  with it was refused']);
});

test('help is broken between words; a command stays on its line', () => {
  const command = '  $ valetkey run --tenant acme --agent codex';
  expect(fitHelp(`A sentence of two\nlines.\n\n  NAME  what it is for\n${command}\n`, 20)).toBe(
    `A sentence of two\nlines.\n\n  NAME  what it is for\n${command}\n`,
  );
  expect(fitHelp('A longer sentence, of two\nlines.', 20)).toBe('A longer sentence,\nof two lines.');
  expect(fitHelp('A sentence of two\nlines.', Infinity)).toBe('A sentence of two\nlines.');
});

test('only a terminal has a width', () => {
  expect([columnsOf({ columns: 60 }), columnsOf({ isTTY: true, columns: 60 }), columnsOf({ isTTY: true, columns: 0 })]).toEqual([
    Infinity,
    60,
    80,
  ]);
});

test('a last line that is too long for the terminal ends with a mark', () => {
  const terminal = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, columns: 10 });
  liveLines(terminal).now('waiting for a worker');
  expect(terminal.read()).toBe('waiting …');
});

test.each([
  [0.44, '0.4s'],
  [59.9, '59.9s'],
  [59.96, '1m0s'],
  [104, '1m44s'],
  [5_430, '1h30m'],
  [604_700, '6d23h'],
])('%s seconds are shown as %s', (seconds, text) => {
  expect(elapsed(new Date(0).toISOString(), new Date(seconds * 1000).toISOString())).toBe(text);
});
