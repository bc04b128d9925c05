/** The scripted model does what the script in a prompt says, keeps no state, and counts what it served. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

import { startScriptedModel, withScript, type ScriptedModel, type Step } from '../../src/dev/scripted-model/index.ts';

let model: ScriptedModel;

beforeAll(async () => {
  model = await startScriptedModel({ script: [{ say: 'the default' }] });
});

afterAll(() => model.close());

interface Asked {
  messages?: object[];
  tools?: string[];
  stream?: boolean;
  signal?: AbortSignal;
  model?: string;
  system?: string;
}

function ask({
  messages = [],
  tools = [],
  stream = false,
  signal,
  model: name = 'claude-sonnet-4-6',
  system = '',
}: Asked): Promise<Response> {
  const body = { model: name, max_tokens: 1000, stream, system, messages, tools: tools.map((tool) => ({ name: tool })) };
  return fetch(`${model.baseUrl}/v1/messages`, { method: 'POST', body: JSON.stringify(body), ...(signal !== undefined && { signal }) });
}

const user = (content: unknown): object => ({ role: 'user', content });
const scripted = (...script: Step[]): object => user(withScript('Do it.', script));
const call = { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'Bash', input: {} }] };
const result = user([{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'done' }]);

async function contentOf(asked: Asked): Promise<unknown> {
  const response = await ask(asked);
  return z.object({ content: z.unknown() }).parse(await response.json()).content;
}

const text = (said: string): object[] => [{ type: 'text', text: said, citations: null }];

it('a prompt without a script gets the default script, or a short text beyond its end', async () => {
  expect(await contentOf({ messages: [user('hello')] })).toEqual(text('the default'));
  expect(await contentOf({ messages: [user('hello'), call, result] })).toEqual(text('Done.'));
});

it('the newest prompt rules, and what agents add to it does not', async () => {
  const reminder = { type: 'text', text: '<system-reminder>\nsomething\n</system-reminder>' };
  const old = scripted({ say: 'old' });
  const newest = user([reminder, { type: 'text', text: withScript('Do it.', [{ run: 'ls' }, { say: 'new' }]) }, reminder]);
  const noisyResult = user([
    { type: 'tool_result', tool_use_id: 'toolu_1', content: '' },
    { type: 'text', text: 'noise' },
  ]);
  const messages = [old, call, result, { role: 'assistant', content: 'old' }, newest, call, noisyResult, user([reminder])];
  expect(await contentOf({ messages })).toEqual(text('new'));
  expect(await contentOf({ messages: [...messages, { role: 'assistant', content: 'new' }, user('hello')] })).toEqual(text('the default'));
});

it('a retried request gets the same answer and is charged the same', async () => {
  const asked = { messages: [scripted({ think: 'hm' }, { say: 'same' })] };
  const start = model.served.length;
  expect(await contentOf(asked)).toEqual(await contentOf(asked));
  const [first, second] = model.served.slice(start);
  expect(first?.usage).toEqual(second?.usage);
  expect(first?.usd).toBeGreaterThan(0);
});

it('files are written by the tools of Claude Code, which wants to read them first, and else by the shell', async () => {
  const messages = [scripted({ write: { path: 'src/a.txt', content: "it's\n" } })];
  const withTools = { tools: ['Bash', 'Read', 'Write'], system: 'Primary working directory: /home/agent/project\n' };
  const file = '/home/agent/project/src/a.txt';
  expect(await contentOf({ messages, ...withTools })).toMatchObject([{ name: 'Read', input: { file_path: file } }]);
  expect(await contentOf({ messages: [...messages, call, result], ...withTools })).toMatchObject([
    { name: 'Write', input: { file_path: file, content: "it's\n" } },
  ]);
  const command = `mkdir -p 'src' && printf %s 'it'\\''s\n' > 'src/a.txt'`;
  expect(await contentOf({ messages, tools: ['Bash'] })).toMatchObject([{ name: 'Bash', input: { command } }]);
});

it('a tool that the caller does not offer becomes a text', async () => {
  expect(await contentOf({ messages: [scripted({ run: 'ls' })], tools: ['WebSearch'] })).toEqual(text('No tool that I know was offered.'));
});

it('a malformed script is refused', async () => {
  expect((await ask({ messages: [user('Do it.\n```script\n[{"shout":"hey"}]\n```')] })).status).toBe(400);
  expect((await ask({ messages: [user('Do it.\n```script\nnot JSON\n```')] })).status).toBe(400);
});

it('a slow answer comes in pieces, and arrives whole', async () => {
  const messages = [scripted({ slow: { chunks: 4, everyMs: 20, text: 'one two three' } })];
  const startedAt = performance.now();
  const body = await (await ask({ messages, stream: true })).text();
  expect(performance.now() - startedAt).toBeGreaterThan(70);
  expect(body.match(/"type":"text_delta"/g)).toHaveLength(4);
});

it.each<{ when: string; steps: Step[]; served: object }>([
  { when: 'before the headers', steps: [{ hang: true }], served: { status: null, usage: null } },
  { when: 'after them', steps: [{ say: 'wait' }, { hang: true }], served: { status: 200, usage: { output: 1 } } },
])('a hanging answer ends when its caller hangs up $when', async ({ steps, served }) => {
  const caller = new AbortController();
  const asked = ask({ messages: [scripted(...steps)], stream: true, signal: caller.signal });
  const body = asked.then((response) => response.text());
  await expect.poll(() => model.inFlight()).toBe(1);
  if (steps.length > 1) await asked;
  caller.abort();
  await expect(body).rejects.toThrow('aborted');
  await expect.poll(() => model.inFlight()).toBe(0);
  expect(model.served.at(-1)).toMatchObject({ hungUp: true, ...served });
});

it.each([false, true])('a dying answer breaks the connection in mid-body, stream: %s', async (stream) => {
  const response = await ask({ messages: [scripted({ say: 'so far' }, { die: true })], stream });
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow('terminated');
  expect(model.served.at(-1)).toMatchObject({ hungUp: false, stream });
});

it('charges the published prices, cached tokens included', async () => {
  const bodies = [0, 1, 2, 3].map((more) => ({ messages: [user('x'.repeat(4000 + more))] }));
  const start = model.served.length;
  const before = model.usd();
  for (const body of bodies) await ask(body);
  const served = model.served.slice(start);
  expect(served.filter(({ usage }) => (usage?.cacheRead ?? 0) > 0)).toHaveLength(3);
  const expected = served.reduce((sum, { usage }) => {
    if (usage === null) return sum;
    const { input, cacheRead, cacheWrite5m, cacheWrite1h, output } = usage;
    const plain = input - cacheRead - cacheWrite5m - cacheWrite1h;
    return sum + (plain * 3 + cacheRead * 0.3 + cacheWrite5m * 3.75 + cacheWrite1h * 6 + output * 15) / 1e6;
  }, 0);
  expect(model.usd() - before).toBeCloseTo(expected, 10);
});

it('a model without a price is served, and charged nothing', async () => {
  await ask({ messages: [user('hello')], model: 'a-model-of-tomorrow' });
  expect(model.served.at(-1)).toMatchObject({ model: 'a-model-of-tomorrow', status: 200, usd: null });
});

it.each([
  ['/v1/messages', 'max_tokens', '"stop_reason":"max_tokens"'],
  ['/v1/messages', 'refusal', '"stop_reason":"refusal"'],
  ['/v1/messages', 'pause_turn', '"stop_reason":"pause_turn"'],
  ['/v1/messages', 'context_length', 'prompt is too long'],
  ['/v1/responses', 'max_tokens', '"reason":"max_output_tokens"'],
  ['/v1/responses', 'content_filter', '"reason":"content_filter"'],
  ['/v1/responses', 'refusal', '"type":"refusal"'],
  ['/v1/responses', 'context_length', '"code":"context_length_exceeded"'],
  ['/v1/chat/completions', 'max_tokens', '"finish_reason":"length"'],
  ['/v1/chat/completions', 'content_filter', '"finish_reason":"content_filter"'],
  ['/v1/chat/completions', 'refusal', '"refusal":"I will not."'],
  ['/v1/chat/completions', 'context_length', '"code":"context_length_exceeded"'],
] as const)('%s stops by %s, streamed or not', async (path, stop, told) => {
  const content = withScript('Do it.', [{ say: 'Halfway.' }, { stop }]);
  for (const stream of [true, false]) {
    const body = { model: 'gpt-5.1', max_tokens: 1000, stream, messages: [{ role: 'user', content }], input: content };
    const response = await fetch(`${model.baseUrl}${path}`, { method: 'POST', body: JSON.stringify(body) });
    expect(response.status).toBe(stop === 'context_length' ? 400 : 200);
    expect(await response.text()).toContain(told);
  }
});
