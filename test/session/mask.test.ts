// Whatever an agent prints, no secret of its job is in the events.
import { createSecretKey } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { JobEventBody } from '../../src/contract/events.ts';
import { deriveSecret } from '../../src/keys/derive.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createEventQueue } from '../../src/session/events/event-queue.ts';
import { createMask } from '../../src/session/events/mask.ts';
import type { SourcedEvent } from '../../src/store/events.ts';

const key = deriveSecret(createSecretKey(Buffer.alloc(32, 7)), 'job/lease/1').reveal();
const other = 'token/for?tests&with=signs+0123456789';
/** Eleven characters of a secret are no fragment; in base64 three of its neighbours’ can stand before them. */
const SHOWN = 11 + 3 + 1;
/** In base64 it is full of what base64 for URLs writes otherwise. */
const marked = 'secret~~~???>>>~~~???>>>~~~end';
const secrets = [key, other, marked].map((secret) => new Secret(secret));

const message = (text: string): JobEventBody => ({ type: 'message', turn: 1, text });
const tool = (id: string, output: string): JobEventBody => ({
  type: 'tool',
  turn: 1,
  id,
  title: 'a command',
  kind: null,
  status: null,
  output,
});

/** What the events of the texts say, joined. */
function said(texts: readonly string[], of: (text: string) => JobEventBody = message): string {
  const mask = createMask(secrets);
  return texts.map((text) => textOf(mask.event(of(text)))).join('');
}

function textOf(event: JobEventBody): string {
  if (event.type === 'message' || event.type === 'thought') return event.text;
  return event.type === 'tool' ? (event.output ?? '') : '';
}

/** The longest stretch of a text that is part of `form`. */
function longestPart(text: string, form: string): string {
  let longest = '';
  for (let from = 0; from < form.length; from += 1) {
    while (from + longest.length < form.length && text.includes(form.slice(from, from + longest.length + 1)))
      longest = form.slice(from, from + longest.length + 1);
  }
  return longest;
}

const base64 = (before: string, secret: string): string => Buffer.from(`${before}${secret}`).toString('base64');
const forms: [string, string][] = [
  ['plain', key],
  ['base64', base64('', key)],
  ['base64, a byte later', base64('a', key)],
  ['base64, two bytes later', base64('ab', key)],
  ['base64 for URLs', Buffer.from(marked).toString('base64url')],
  ['hex', Buffer.from(key).toString('hex')],
  ['hex in capitals', Buffer.from(key).toString('hex').toUpperCase()],
  ['URL-encoded', encodeURIComponent(other)],
  ['URL-encoded in small letters', encodeURIComponent(other).replaceAll(/%../g, (code) => code.toLowerCase())],
];

describe.each(forms)('a secret in %s', (_form, form) => {
  test('is masked in the middle of a text', () => {
    const text = said([`before ${form} after`]);
    expect(text).toMatch(/^before [\w=+/-]{0,4}\[secret\][\w=+/-]{0,3} after$/);
  });

  test('is masked wherever it is cut in two, but for a beginning that tells nothing', () => {
    for (let cut = 1; cut < form.length; cut += 1) {
      const text = said([`before ${form.slice(0, cut)}`, `${form.slice(cut)} after`]);
      expect(longestPart(text, form).length).toBeLessThan(SHOWN);
      expect(text).toMatch(/^before .*\[secret\].* after$/);
      expect(text.match(/\[secret\]/g)).toHaveLength(1);
    }
  });

  test.each([1, 2, 3, 5, 7])('is masked in pieces of %i', (size) => {
    const text = `before ${form} after`;
    const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, index) => text.slice(index * size, (index + 1) * size));
    const stored = said(pieces);
    expect(longestPart(stored, form).length).toBeLessThan(SHOWN);
    expect(stored).toMatch(/^before .*\[secret\].* after$/);
    expect(stored.match(/\[secret\]/g)).toHaveLength(1);
  });
});

test('a secret is masked where only a part of it is there, and where its encoding is wrapped into lines', () => {
  expect(said([`begins with ${key.slice(0, 30)}`])).toBe('begins with [secret]');
  expect(said([`${key.slice(20)} is its end`])).toBe('[secret] is its end');
  const wrapped = base64('so many words come before it that the line ends in it ', key).replaceAll(/.{76}/g, '$&\n');
  for (const line of wrapped.split('\n')) expect(wrapped).toContain(line);
  const stored = said([wrapped]);
  expect(longestPart(stored, base64('', key)).length).toBeLessThan(SHOWN);
  expect(stored).toContain('\n');
});

test('a secret is masked that goes on after a tool call, a thought and an empty piece', () => {
  const mask = createMask(secrets);
  const events = [
    message(key.slice(0, 8)),
    tool('1', 'an output'),
    { type: 'thought', turn: 1, text: 'a thought' } as const,
    message(''),
    message(key.slice(8)),
  ].map((event) => mask.event(event));
  expect(events.map(textOf)).toEqual([key.slice(0, 8), 'an output', 'a thought', '', '[secret]']);
});

test('the output of a tool is one text, that of another tool is another', () => {
  expect(said([key.slice(0, 20), key.slice(20)], (text) => tool('1', text))).toBe('[secret]');
  const mask = createMask(secrets);
  const events = [tool('1', key.slice(0, 20)), tool('2', 'in between'), tool('1', `${key.slice(20)} end`), tool('1', `${key} end`)];
  expect(events.map((event) => textOf(mask.event(event)))).toEqual(['[secret]', 'in between', ' end', '[secret] end']);
});

test('a secret is masked in every text of an event', () => {
  const mask = createMask(secrets);
  const events: JobEventBody[] = [
    { type: 'tool', turn: 1, id: key, title: `cat ${key}`, kind: key, status: key, output: key },
    {
      type: 'plan',
      turn: 1,
      entries: [
        { text: `use ${key}`, status: 'pending' },
        { text: 'rest', status: key },
      ],
    },
    { type: 'permission.asked', turn: 1, id: 'q1', title: `curl -H ${other}`, kind: null, toolCall: null, details: `curl -H ${other}` },
    { type: 'warning', code: 'internal', message: `it said ${other}` },
  ];
  const stored = JSON.stringify(events.map((event) => mask.event(event)));
  expect(stored.match(/\[secret\]/g)).toHaveLength(10);
  for (const secret of [key, other]) expect(longestPart(stored, secret).length).toBeLessThan(SHOWN);
});

test('a key of another job is masked, too, as far as it comes in one piece', () => {
  expect(said(['found sk-vk-of-some-other-job-0123456789 there'])).toBe('found [secret] there');
});

test('an event without a secret is stored as it is, whatever looks like the beginning of one', () => {
  const mask = createMask(secrets);
  for (const text of ['keys begin with sk-vk-', 'sk-vk- again', 'token/for', 'e'.repeat(100), key.slice(0, 11), ' ']) {
    const event = message(text);
    expect(mask.event(event)).toBe(event);
  }
});

test('a text of its own is masked without regard to what came before', () => {
  const mask = createMask(secrets);
  mask.event(message(key.slice(0, 20)));
  expect(mask.text(`${key} and ${base64('x', other)}`)).toMatch(/^\[secret\] and \w{0,2}\[secret\][\w=+/]{0,2}$/);
});

test('without secrets nothing is changed', () => {
  const mask = createMask([]);
  expect(mask.event(message('some text'))).toEqual(message('some text'));
  expect(mask.text('some text')).toBe('some text');
});

test('a MB of text passes in less than a second', () => {
  const text = 'const answer = await fetch(url, { headers: { authorization } });\n'.repeat(16_000);
  const mask = createMask(secrets);
  const startedMs = performance.now();
  for (let at = 0; at < text.length; at += 4096) mask.event(message(text.slice(at, at + 4096)));
  expect(performance.now() - startedMs).toBeLessThan(1000);
});

/** Pushes the texts as the events 1, 2, …, and returns what was stored. */
async function storeAll(texts: readonly string[], storedUpTo = 0): Promise<SourcedEvent[]> {
  const batches: SourcedEvent[][] = [];
  const cursor: number[] = [];
  const queue = createEventQueue(
    (events) => Promise.resolve(void batches.push(events)),
    (eventId) => cursor.push(eventId),
    createMask(secrets),
    storedUpTo,
  );
  for (const [index, text] of texts.entries()) await queue.push(index + 1, { source: `acp:1:${index + 1}`, body: message(text) });
  await queue.drain();
  expect(cursor.at(-1)).toBe(texts.length);
  return batches.flat();
}

describe('the event queue', () => {
  const pieces = ['before ', key.slice(0, 10), key.slice(10, 20), key.slice(20, 40), `${key.slice(40)} after`];

  test('stores each event once and in order, and no secret', async () => {
    const events = await storeAll(pieces);
    expect(events.map(({ source }) => source)).toEqual(['acp:1:1', 'acp:1:2', 'acp:1:3', 'acp:1:4', 'acp:1:5']);
    expect(events.map(({ body }) => textOf(body))).toEqual(['before ', key.slice(0, 10), '[secret]', '', ' after']);
  });

  test('stores after a crash at any moment what it would have stored without it', async () => {
    const whole = await storeAll(pieces);
    for (let crash = 1; crash < pieces.length; crash += 1) {
      const before = (await storeAll(pieces.slice(0, crash))).slice(0, crash);
      expect([...before, ...(await storeAll(pieces, crash))]).toEqual(whole);
    }
  });
});
