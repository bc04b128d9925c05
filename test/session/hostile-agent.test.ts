/** Whatever an agent writes, its turn goes on or ends with a typed failure, its other messages are stored, and the worker's memory stays bounded. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { EventStore, turnOn } from './collect.ts';
import { startServer, type Server } from './server.ts';

let server: Server;
let store: EventStore;
beforeEach(async () => {
  server = await startServer();
  store = new EventStore();
});
afterEach(() => server.stop());

const types = (): string[] => store.events.map(({ type }) => type);
const codes = (): string[] => store.events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
const raw = (line: string): string => `raw ${JSON.stringify(line)}`;
const said = (text: string): string =>
  raw(
    `{"jsonrpc":"2.0","method":"session/update","params":{"update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":${text}}}}}`,
  );

describe('a message is read where it is one, and the others go on', () => {
  test.each([
    ['half of an emoji', '"a\\ud83d"', 'a\uFFFD'],
    ['the other half', '"\\ude42a"', '\uFFFDa'],
    ['NUL', '"a\\u0000"', 'a\uFFFD'],
    ['bytes that are no UTF-8', '"a\u00FF\u00C3"', 'a\uFFFD\uFFFD'],
    ['line ends of Unicode', '"a\u00E2\u0080\u00A8\u00E2\u0080\u00A9b"', 'a\u2028\u2029b'],
    ['control characters', '"a\\u001b[31m\\u0007\\b"', 'a\u001B[31m\u0007\b'],
    ['the same key twice', '"first","text":"second"', 'second'],
    ['keys that JavaScript has for itself', '"a","__proto__":{"text":"b"},"constructor":1', 'a'],
    ['numbers beyond all', '"a","n":[1e999,-1e999,123456789012345678901234567890]', 'a'],
    ['an ill-formed key', '"a","\\ud83d":1', 'a'],
  ])('with %s', async (_what, text, expected) => {
    expect(await turnOn(server, store, { prompt: `${said(text)}\ntool\nsay end` })).toMatchObject({ message: `${expected}\n\nend` });
    expect(types()).toEqual(['message', 'tool', 'tool', 'message']);
  });

  test('behind a byte order mark', async () => {
    expect(await turnOn(server, store, { prompt: said('"a"').replace('raw "', 'raw "\u00EF\u00BB\u00BF') })).toMatchObject({
      message: 'a',
    });
  });
});

test.each([
  ['with NaN in it', raw('{"jsonrpc":"2.0","method":"session/update","params":NaN}')],
  ['that is torn', raw('{"jsonrpc":"2.0","met')],
  ['of a kind that is not as it should be', raw('{"method":"session/update","params":{"update":{"sessionUpdate":"tool_call"}}}')],
  ['of more than 64 MiB', 'huge 70000000'],
])('a message %s is a warning, and the turn goes on', async (_what, command) => {
  expect(await turnOn(server, store, { prompt: `${command}\nsay end` })).toMatchObject({ message: 'end' });
  expect(codes()).toEqual(['message_unreadable']);
  expect(types().at(-1)).toBe('message');
});

test('of a thousand messages that cannot be read the first are warnings', async () => {
  const prompt = Array.from({ length: 1000 }, () => raw('{"x')).join('\n');
  await turnOn(server, store, { prompt: `${prompt}\nsay end` });
  expect(types()).toEqual([...Array.from({ length: 20 }, () => 'warning'), 'message']);
});

test.each([
  ['cannot be read', raw('{"jsonrpc":"2.0","id":"turn-1","result":{"stopReason":NaN}}')],
  ['is an error that is not as it should be', raw('{"jsonrpc":"2.0","id":"turn-1","error":"a text"}')],
  ['is longer than 64 MiB', 'huge-answer 70000000'],
])('an answer to the prompt that %s fails the turn', async (_what, command) => {
  await expect(turnOn(server, store, { prompt: `say before\n${command}\nhang` })).rejects.toMatchObject({ code: 'agent_failed' });
  expect(store.text).toBe('before');
});

test('an answer of 30 MB that can be read ends the turn', async () => {
  expect(await turnOn(server, store, { prompt: 'huge-answer 30000000' })).toMatchObject({ stopReason: 'end_turn' });
});

test('the output of a tool of 30 MB is told with its beginning, its end and how much is missing', async () => {
  await turnOn(server, store, { prompt: 'huge 30000000' });
  const outputs = store.events.flatMap((event) => (event.type === 'tool' ? [event.output] : []));
  expect(outputs).toEqual([null, expect.stringMatching(/^first x{4090}\n\[… 29991819 characters cut …\]\nx{4091} last$/)]);
});

test('a message that is ten thousand levels deep is an event', async () => {
  await turnOn(server, store, { prompt: 'deep 10000\nsay end' });
  expect(types()).toEqual(['tool', 'message']);
});

test('a text of 1 MB is told whole', async () => {
  await turnOn(server, store, { prompt: 'recite 125000' });
  expect(store.text).toBe('word \u{1F642} '.repeat(125_000));
  expect(store.events.length).toBeGreaterThan(10);
});

test.each([
  [
    'answers what nobody asked',
    [raw('{"id":"session","result":{}}'), raw('{"id":"q1","result":{}}'), raw('{"id":7,"error":null}')].join('\n'),
  ],
  ['speaks as if it were the shim or the server', raw('{"method":"_valetkey/received","params":{"id":"turn-2"}}')],
  ['complains without end', 'complain 5000000'],
  ['begs for files without end', 'beg 20000'],
])('an agent that %s does nothing by it', async (_what, command) => {
  expect(await turnOn(server, store, { prompt: `${command}\nask\nsay end` })).toMatchObject({ message: 'answer: yesend' });
  expect(await turnOn(server, store, { prompt: 'say next', turn: 2 })).toMatchObject({ message: 'next' });
});

test('2,000 questions at once are all answered', async () => {
  expect(await turnOn(server, store, { prompt: 'ask-all 2000' })).toMatchObject({ message: 'allowed: 2000' });
});

test.each(['close', 'fork'])('an agent that does "%s" ends its turn', async (command) => {
  const beganMs = performance.now();
  await expect(turnOn(server, store, { prompt: `say before\n${command}` })).rejects.toMatchObject({ code: 'turn_interrupted' });
  expect(performance.now() - beganMs).toBeLessThan(40_000);
  expect(store.text).toBe('before');
});

test('a flood of 100,000 messages is told whole, and fills no memory', async () => {
  await turnOn(server, store, { prompt: 'say begin' });
  const before = process.memoryUsage().rss;
  let highest = before;
  const watch = setInterval(() => (highest = Math.max(highest, process.memoryUsage().rss)), 50);
  let told = 0;
  let last = 0;
  await turnOn(server, store, {
    turn: 2,
    prompt: 'flood 100000\nsay end',
    onEvent: async (events) => {
      for (const { body } of events) {
        if (body.type !== 'plan') continue;
        const step = Number(body.entries[0]?.text.slice('step '.length));
        if (step !== last + 1) throw new Error(`${step} after ${last}`);
        last = step;
        told += 1;
      }
    },
  });
  clearInterval(watch);
  expect(told).toBe(100_000);
  expect((highest - before) / 2 ** 20).toBeLessThan(600);
});
