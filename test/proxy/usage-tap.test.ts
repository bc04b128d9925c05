import { expect, test } from 'vitest';

import type { Protocol } from '../../src/proxy/protocols/routes.ts';
import { createTap, NO_USAGE, type ResponseUsage } from '../../src/proxy/protocols/usage-tap.ts';

const MIB = 1024 * 1024;

function tapped(protocol: Protocol, text: string, { stream = true, chunk = 7 } = {}): Readonly<ResponseUsage> {
  const tap = createTap(protocol, stream);
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; from += chunk) tap.push(bytes.subarray(from, from + chunk));
  tap.end();
  const { hasBegun: _, ...seen } = tap.seen;
  return { ...seen, hasBegun: false };
}

const event = (data: object, end = '\n\n'): string =>
  `${'type' in data ? `event: ${String(data.type)}\n` : ''}data: ${JSON.stringify(data)}${end}`;

const START = {
  type: 'message_start',
  message: {
    model: 'claude-sonnet-4-6',
    usage: { input_tokens: 10, output_tokens: 1, cache_creation_input_tokens: 5, cache_creation: { ephemeral_1h_input_tokens: 5 } },
  },
};
const TEXT = { type: 'content_block_delta', delta: { type: 'text_delta', text: 'say "usage": { é 🙂' } };
const DELTA = {
  type: 'message_delta',
  delta: {},
  usage: { input_tokens: null, output_tokens: 42, server_tool_use: { web_search_requests: 1 } },
};
const STOP = { type: 'message_stop' };

test.each([{}, { output_tokens: null }, { output_tokens: '42' }])('Messages: a last usage of %j leaves the output unknown', (usage) => {
  const seen = tapped('anthropic-messages', [START, TEXT, { ...DELTA, usage }, STOP].map((data) => event(data)).join(''));
  expect(seen).toMatchObject({ usageFinal: false, done: true });
});

test('Messages: the parts of the usage are laid over one another, and nulls replace nothing', () => {
  const begun = tapped('anthropic-messages', [START, TEXT].map((data) => event(data)).join(''));
  expect(begun).toMatchObject({ model: 'claude-sonnet-4-6', usageFinal: false, done: false, failure: null });
  const seen = tapped('anthropic-messages', [START, TEXT, DELTA, STOP].map((data) => event(data)).join(''));
  expect(seen).toMatchObject({ usageFinal: true, done: true });
  expect(seen.usage).toEqual({ ...START.message.usage, output_tokens: 42, server_tool_use: { web_search_requests: 1 } });
});

test('Messages: an error event is the provider’s own failure', () => {
  const seen = tapped('anthropic-messages', event(START) + event({ type: 'error', error: { type: 'rate_limit_error', message: 'slow' } }));
  expect(seen).toMatchObject({ failure: 'llm_rate_limited', done: true, usageFinal: false });
});

const RESPONSE = {
  model: 'gpt-5.1-2025-11-13',
  service_tier: 'priority',
  usage: { input_tokens: 3, output_tokens: 4, input_tokens_details: { cached_tokens: 1 } },
  tool_usage: { web_search: { num_requests: 2 } },
  output: [
    { type: 'message', content: [] },
    { type: 'web_search_call', id: 'ws' },
    { type: 'code_interpreter_call', container_id: 'cntr_1' },
    'no item',
  ],
};

test.each(['completed', 'incomplete'])('Responses: response.%s states usage, tier and tools', (end) => {
  const seen = tapped(
    'openai-responses',
    event({ type: 'response.output_text.delta', delta: 'x' }) + event({ type: `response.${end}`, response: RESPONSE }),
  );
  expect(seen).toEqual({
    isTransient: false,
    hasBegun: false,
    stop: null,
    model: RESPONSE.model,
    usage: RESPONSE.usage,
    usageFinal: true,
    serviceTier: 'priority',
    toolUsage: RESPONSE.tool_usage,
    toolCalls: [
      { type: 'web_search_call', container: null },
      { type: 'code_interpreter_call', container: 'cntr_1' },
    ],
    done: true,
    failure: null,
  });
});

test('Responses: a failure without usage states none', () => {
  const failed = { type: 'response.failed', response: { model: 'gpt-5.1', usage: null, error: { code: 'rate_limit_exceeded' } } };
  expect(tapped('openai-responses', event(failed))).toMatchObject({
    failure: 'llm_rate_limited',
    usage: null,
    usageFinal: false,
    done: true,
  });
  expect(tapped('openai-responses', event({ type: 'error', error: { code: 'insufficient_quota' } })).failure).toBe('llm_payment_required');
});

const chunk = (change: object): string =>
  `data: ${JSON.stringify({ model: 'gpt-5.1', choices: [{ delta: {}, finish_reason: null }], ...change })}\n\n`;
const CHAT_USAGE = { prompt_tokens: 5, completion_tokens: 6 };

test('Chat: the usage of the last chunk is final, one that is stated on the way is not', () => {
  const onTheWay = chunk({ usage: CHAT_USAGE });
  expect(tapped('openai-chat', chunk({ usage: null }) + onTheWay)).toMatchObject({ usage: CHAT_USAGE, usageFinal: false, done: false });
  expect(tapped('openai-chat', `${onTheWay}data: [DONE]\n\n`)).toMatchObject({ usageFinal: true, done: true });
  expect(tapped('openai-chat', chunk({ usage: CHAT_USAGE, choices: [] }))).toMatchObject({ model: 'gpt-5.1', usageFinal: true });
  expect(tapped('openai-chat', chunk({ usage: CHAT_USAGE, choices: [{ finish_reason: 'stop' }] }))).toMatchObject({ usageFinal: true });
  expect(tapped('openai-chat', chunk({}) + chunk({ error: { code: 'server_error' } })).failure).toBe('llm_failed');
});

test('Chat: what a model writes about usage is no usage', () => {
  expect(
    tapped('openai-chat', chunk({ choices: [{ delta: { content: '"usage": {"prompt_tokens": 1}' }, finish_reason: null }] })).usage,
  ).toBeNull();
});

test.each([['\n'], ['']])('the last event counts where the stream ends with %j and no blank line', (end) => {
  expect(tapped('anthropic-messages', event(START) + event(DELTA) + event(STOP, end))).toMatchObject({ done: true, usageFinal: true });
  expect(tapped('openai-chat', `${chunk({ usage: CHAT_USAGE, choices: [] })}data: [DONE]${end}`)).toMatchObject({ done: true });
});

test('an event that was cut off says nothing', () => {
  const text = event({ type: 'response.completed', response: RESPONSE });
  expect(tapped('openai-responses', text.slice(0, -12))).toEqual(NO_USAGE);
});

test.each([1, 3, 1000])('line ends, byte order marks and split characters do not matter, in chunks of %d bytes', (size) => {
  const text = `\uFEFF${[START, TEXT, DELTA, STOP].map((data) => event(data, '\r\n\r\n')).join(': comment\r\n')}`;
  expect(tapped('anthropic-messages', text, { chunk: size })).toMatchObject({ usageFinal: true, done: true });
});

test('events without names are read', () => {
  const text = [START, DELTA, STOP].map((data) => `data: ${JSON.stringify(data)}\n\n`).join('');
  expect(tapped('anthropic-messages', text)).toMatchObject({ usageFinal: true, done: true });
});

test.each([
  ['in one chunk', Number.MAX_SAFE_INTEGER],
  ['in many chunks', 65_536],
])('an event over 4 MiB is skipped %s, and those after it are read', (_how, size) => {
  const large = { type: 'response.completed', response: { ...RESPONSE, model: 'large', output: [{ result: 'x'.repeat(4 * MIB) }] } };
  expect(tapped('openai-responses', event(large), { chunk: size })).toEqual(NO_USAGE);
  const text = event(large) + ': ping\n\n'.repeat(20_000) + event({ type: 'response.completed', response: RESPONSE });
  expect(tapped('openai-responses', text, { chunk: size })).toMatchObject({ model: RESPONSE.model, usageFinal: true });
});

test('the rest of an event that is too large is skipped up to its end', () => {
  const tap = createTap('openai-responses', true);
  const large = event({ type: 'response.output_item.done', item: 'x'.repeat(4 * MIB) });
  tap.push(Buffer.from(large.slice(0, -5)));
  tap.push(Buffer.from(large.slice(-5) + event({ type: 'response.completed', response: RESPONSE })));
  expect(tap.seen).toMatchObject({ usageFinal: true, done: true });
});

test('an answer that is no stream states its usage at its end', () => {
  const answer = JSON.stringify(RESPONSE);
  expect(tapped('openai-responses', answer, { stream: false })).toMatchObject({
    model: RESPONSE.model,
    usage: RESPONSE.usage,
    usageFinal: true,
  });
  expect(tapped('openai-responses', answer.slice(1), { stream: false })).toEqual(NO_USAGE);
  const failed = { status: 'failed', error: { code: 'server_error' }, usage: null };
  expect(tapped('openai-responses', JSON.stringify(failed), { stream: false })).toMatchObject({
    failure: 'llm_failed',
    usage: null,
    usageFinal: false,
  });
});

test('an answer over 8 MiB is not parsed', () => {
  const answer = JSON.stringify({ ...RESPONSE, padding: 'x'.repeat(8 * MIB) });
  expect(tapped('openai-responses', answer, { stream: false, chunk: 65_536 })).toEqual(NO_USAGE);
});

test.each(['', 'null', '[]', '"text"', '{"usage":[1],"model":5}', '{"usage":"x","output":{},"choices":5}', '{'.repeat(1_000_000)])(
  'nonsense says nothing and throws nothing: %#',
  (text) => {
    for (const protocol of ['anthropic-messages', 'openai-responses', 'openai-chat'] as const) {
      expect(tapped(protocol, text, { stream: false, chunk: 65_536 })).toEqual(NO_USAGE);
      expect(tapped(protocol, `data: ${text}\n\n`, { chunk: 65_536 })).toEqual(NO_USAGE);
    }
  },
);

test.each<[Protocol, object, string | null]>([
  ['anthropic-messages', { type: 'message_delta', delta: { stop_reason: 'end_turn' } }, null],
  ['anthropic-messages', { type: 'message_delta', delta: { stop_reason: 'tool_use' } }, null],
  ['anthropic-messages', { type: 'message_delta', delta: { stop_reason: 'max_tokens' } }, 'max_tokens'],
  ['anthropic-messages', { type: 'message_delta', delta: { stop_reason: 'refusal' } }, 'refusal'],
  ['anthropic-messages', { type: 'message_delta', delta: { stop_reason: 'pause_turn' } }, 'pause_turn'],
  ['anthropic-messages', { type: 'message_delta', delta: { stop_reason: 'model_context_window_exceeded' } }, 'context_length'],
  [
    'openai-responses',
    { type: 'response.completed', response: { output: [{ type: 'message', content: [{ type: 'output_text' }] }] } },
    null,
  ],
  [
    'openai-responses',
    { type: 'response.completed', response: { output: [{ type: 'message', content: [{ type: 'refusal' }] }] } },
    'refusal',
  ],
  ['openai-responses', { type: 'response.incomplete', response: { incomplete_details: { reason: 'max_output_tokens' } } }, 'max_tokens'],
  ['openai-responses', { type: 'response.incomplete', response: { incomplete_details: { reason: 'content_filter' } } }, 'content_filter'],
  ['openai-responses', { type: 'response.failed', response: { error: { code: 'context_length_exceeded' } } }, 'context_length'],
  ['openai-chat', { choices: [{ delta: {}, finish_reason: 'stop' }] }, null],
  ['openai-chat', { choices: [{ delta: {}, finish_reason: 'length' }] }, 'max_tokens'],
  ['openai-chat', { choices: [{ delta: {}, finish_reason: 'content_filter' }] }, 'content_filter'],
  ['openai-chat', { choices: [{ delta: { refusal: 'No.' }, finish_reason: null }] }, 'refusal'],
])('%s: %j is the stop %s', (protocol, data, stop) => {
  expect(tapped(protocol, event(data)).stop).toBe(stop);
});

test.each<[Protocol, object, string]>([
  ['anthropic-messages', { stop_reason: 'max_tokens' }, 'max_tokens'],
  ['openai-responses', { incomplete_details: { reason: 'content_filter' } }, 'content_filter'],
  ['openai-chat', { choices: [{ message: { refusal: 'No.' }, finish_reason: 'stop' }] }, 'refusal'],
])('%s: an answer in one piece says that it stopped, too: %j', (protocol, data, stop) => {
  expect(tapped(protocol, JSON.stringify(data), { stream: false }).stop).toBe(stop);
});
