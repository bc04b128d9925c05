/** What a command prints is told once, with its end, whatever way an agent sends it: these ways are those of the agents' adapters. */
import { describe, expect, test } from 'vitest';

import type { JobEventBody } from '../../src/contract/events.ts';
import { cut } from '../../src/in-sandbox/shim/cut.ts';
import { createUpdateReader } from '../../src/session/events/updates.ts';

type Told = readonly [status: string | null, output: string | null];

const call = { toolCallId: 'a', kind: 'execute' };
const text = (output: string): object[] => [{ type: 'content', content: { type: 'text', text: output } }];
const textBlock = (output: string): object => ({ type: 'text', text: output });
const terminal = (data: string): object => ({ terminal_output: { terminal_id: 'a', data } });
const begun = { sessionUpdate: 'tool_call', ...call, title: 'ls', status: 'in_progress' };
const more = { sessionUpdate: 'tool_call_update', ...call };

function told(updates: readonly object[]): Told[] {
  return tools(updates).map(({ status, output }) => [status, output]);
}

function tools(updates: readonly object[]): Extract<JobEventBody, { type: 'tool' }>[] {
  const reader = createUpdateReader();
  const bodies = [...updates.map((update) => reader.read({ sessionId: 's', update }, 1)), ...reader.rest(1), ...reader.rest(1)];
  return bodies.flatMap((body) => (body !== null && body !== 'unreadable' && body.type === 'tool' ? [body] : []));
}

describe('a command', () => {
  test.each<[string, object[], Told[]]>([
    [
      'of mock: with the end',
      [{ ...begun }, { ...more, status: 'completed', content: text('one\ntwo') }],
      [
        ['in_progress', null],
        ['completed', 'one\ntwo'],
      ],
    ],
    [
      'of codex: in pieces',
      [
        { ...begun, content: [{ type: 'terminal', terminalId: 'a' }], _meta: { terminal_info: { terminal_id: 'a' } } },
        { ...more, _meta: terminal('one\n') },
        { ...more, _meta: terminal('two\n') },
        { ...more, status: 'completed', _meta: { terminal_exit: { exit_code: 0, signal: null } } },
      ],
      [
        ['in_progress', null],
        ['completed', 'one\ntwo\n'],
      ],
    ],
    [
      'of codex: that fails, with the end',
      [begun, { ...more, status: 'failed', _meta: { ...terminal('bad\n'), terminal_exit: { exit_code: 3 } } }],
      [
        ['in_progress', null],
        ['failed', 'bad\n'],
      ],
    ],
    [
      'of codex: a tool of an MCP server',
      [
        begun,
        {
          ...more,
          status: 'completed',
          rawOutput: { result: { content: [{ type: 'image' }, ...['one', 'two'].map(textBlock)] }, error: null },
        },
      ],
      [
        ['in_progress', null],
        ['completed', 'one\ntwo'],
      ],
    ],
    [
      'of claude: before the end',
      [
        { ...begun, status: 'pending', title: 'Terminal', content: [{ type: 'terminal', terminalId: 'a' }] },
        { ...more, title: 'ls' },
        { ...more, _meta: terminal('one\ntwo') },
        { ...more, status: 'completed', _meta: { terminal_exit: { exit_code: 0 } } },
      ],
      [
        ['pending', null],
        ['pending', null],
        ['completed', 'one\ntwo'],
      ],
    ],
    [
      'of opencode: again and again as a whole',
      [
        begun,
        { ...more, status: 'in_progress', title: 'ls', content: text('one\n') },
        { ...more, status: 'in_progress', title: 'ls', content: text('one\ntwo\n') },
        { ...more, status: 'in_progress', title: 'ls', content: text('one\ntwo\nthree\n') },
        { ...more, status: 'completed', content: text('one\ntwo\nthree\n'), rawOutput: { output: 'one\ntwo\nthree\n' } },
      ],
      [
        ['in_progress', null],
        ['completed', 'one\ntwo\nthree\n'],
      ],
    ],
    [
      'that tells its output beside the content',
      [begun, { ...more, status: 'completed', content: [], rawOutput: { output: 'one' } }],
      [
        ['in_progress', null],
        ['completed', 'one'],
      ],
    ],
    [
      'that tells it as a text',
      [begun, { ...more, status: 'completed', rawOutput: 'one' }],
      [
        ['in_progress', null],
        ['completed', 'one'],
      ],
    ],
    [
      'that prints nothing',
      [begun, { ...more, status: 'completed', rawOutput: { output: '', exit: 0 } }],
      [
        ['in_progress', null],
        ['completed', null],
      ],
    ],
    [
      'whose output is of no known form',
      [begun, { ...more, status: 'completed', content: 'x', rawOutput: 7, _meta: [] }],
      [
        ['in_progress', null],
        ['completed', null],
      ],
    ],
    [
      'whose id is a number',
      [
        { ...begun, toolCallId: 7 },
        { ...more, toolCallId: 7, status: 'completed' },
      ],
      [
        ['in_progress', null],
        ['completed', null],
      ],
    ],
    [
      'that the end of the turn meets',
      [begun, { ...more, _meta: terminal('one\n') }],
      [
        ['in_progress', null],
        ['in_progress', 'one\n'],
      ],
    ],
    [
      'that says more after its end',
      [
        begun,
        { ...more, status: 'completed', content: text('one') },
        { ...more, content: text('one and more') },
        { ...more, _meta: terminal('late') },
      ],
      [
        ['in_progress', null],
        ['completed', 'one'],
        ['completed', 'one and more'],
        ['completed', 'one and morelate'],
      ],
    ],
  ])('%s', (_what, updates, expected) => {
    expect(told(updates)).toEqual(expected);
  });

  test('that changes a file shows the change from the beginning, since somebody may be asked about it', () => {
    const content = [{ type: 'diff', path: 'a.txt', oldText: 'old\n', newText: 'new\n' }];
    const diff = '--- a.txt\n+++ a.txt\n-old\n+new';
    expect(
      told([
        { ...begun, content },
        { ...more, status: 'completed' },
      ]),
    ).toEqual([
      ['in_progress', diff],
      ['completed', diff],
    ]);
  });

  test('that prints 30 MB in pieces is told with its beginning, its end and how much is missing', () => {
    const piece = `${'x'.repeat(99)}\n`;
    const pieces = Array.from({ length: 3000 }, () => ({ ...more, _meta: terminal(piece.repeat(100)) }));
    const [, last, ...others] = tools([
      begun,
      { ...more, _meta: terminal('first\n') },
      ...pieces,
      { ...more, _meta: terminal('last\n') },
      { ...more, status: 'completed' },
    ]);
    expect(others).toEqual([]);
    expect(last?.output).toMatch(/^first\nx[^]{4089}\n\[… 29991814 characters cut …\]\n[^]{4096}last\n$/);
  });
});

test('ten thousand tool calls are not kept in memory, and ids, titles and states of any length are cut', () => {
  const reader = createUpdateReader();
  for (let n = 0; n < 10_000; n += 1) reader.read({ update: { ...begun, toolCallId: `t${n}`, _meta: terminal('x') } }, 1);
  expect(reader.rest(1)).toHaveLength(1000);
  const long = 'x'.repeat(100_000);
  expect(
    JSON.stringify(reader.read({ update: { ...begun, toolCallId: long, title: long, status: long, kind: long } }, 1)).length,
  ).toBeLessThan(1500);
  const entries = Array.from({ length: 10_000 }, () => ({ content: long, status: long }));
  expect(JSON.stringify(reader.read({ update: { sessionUpdate: 'plan', entries } }, 1)).length).toBeLessThan(200 * 1024);
});

describe('a cut', () => {
  const units = '\u{1F642}'.repeat(1000);
  test.each([7, 8, 9, 10, 11, 100, 101])('to %i characters divides no emoji, and counts what is missing', (max) => {
    const short = cut(units, max);
    expect(short.isWellFormed()).toBe(true);
    const missing = Number(/\[… (\d+) characters cut …\]/.exec(short)?.[1]);
    expect(short.replace(/\n\[.*\]\n/, '').length + missing).toBe(2000);
  });

  test('of a text that was cut before counts all that is missing', () => {
    const whole = Array.from({ length: 1000 }, (_, n) => String(n).padStart(4)).join('');
    let kept = '';
    for (let n = 0; n < 4000; n += 100) kept = cut(kept + whole.slice(n, n + 100), 200);
    expect(kept).toBe(`${whole.slice(0, 100)}\n[… 3800 characters cut …]\n${whole.slice(-100)}`);
  });

  test('of a text that is short enough is the text', () => {
    expect(cut('x'.repeat(264), 200)).toBe('x'.repeat(264));
  });
});
