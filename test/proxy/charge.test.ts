import { expect, test } from 'vitest';

import { boundCost, charge, type Reservation } from '../../src/proxy/prices/charge.ts';
import { createPrices } from '../../src/proxy/prices/prices.ts';
import type { Protocol } from '../../src/proxy/protocols/routes.ts';
import { NO_USAGE, type ResponseUsage } from '../../src/proxy/protocols/usage-tap.ts';

const CLAUDE = 'claude-sonnet-4-6';
const GPT = 'gpt-5.1';
const MODELS: Record<Protocol, string> = { 'anthropic-messages': CLAUDE, 'openai-responses': GPT, 'openai-chat': GPT };

const prices = createPrices([]);

function reserved(
  protocol: Protocol,
  { model = MODELS[protocol], bytes = 1_000_000, maxOutputTokens = 10_000, choices = 1 } = {},
): Reservation {
  const price = prices.find(protocol, model);
  if (price === null) throw new Error('no price');
  return boundCost(price, { bytes, maxOutputTokens, choices });
}

/** The charge for an answer that came to its end. */
function charged(
  protocol: Protocol,
  usage: Record<string, unknown> | null,
  seen: Partial<ResponseUsage> = {},
  reservation = reserved(protocol),
) {
  const complete = { ...NO_USAGE, usage, usageFinal: usage !== null, done: true, ...seen };
  return charge(prices, protocol, MODELS[protocol], reservation, complete);
}

const near = (usd: number): unknown => expect.closeTo(usd, 11);
const exactly = (usd: number) => ({ usd: near(usd), estimated: false, implausible: false });

test('a request is reserved by its bytes, what a provider adds and its most output, for each choice', () => {
  const price = prices.find('openai-chat', GPT);
  if (price === null) throw new Error('no price');
  const { usd, inputTokens, outputTokens } = boundCost(price, { bytes: 10_000, maxOutputTokens: 500, choices: 3 });
  expect({ inputTokens, outputTokens }).toEqual({ inputTokens: 14_096, outputTokens: 1_500 });
  expect(usd).toBeCloseTo((14_096 * 1.25 + 1_500 * 10) / 1e6, 12);
  expect(boundCost(price, { bytes: 10_000, maxOutputTokens: null, choices: 1 }).outputTokens).toBe(128_000);
});

test('images and documents are reserved by what they can hold, not by their bytes', () => {
  const price = prices.find('anthropic-messages', CLAUDE);
  if (price === null) throw new Error('no price');
  const body = { bytes: 10_000, maxOutputTokens: 1, choices: 1 };
  expect(boundCost(price, { ...body, images: 10 }).inputTokens).toBe(14_096 + 50_000);
  expect(boundCost(price, { ...body, images: 1_000 }).inputTokens).toBe(1_000_000);
  expect(boundCost(price, { ...body, documents: true }).inputTokens).toBe(1_000_000);
  expect(boundCost(price, { ...body, bytes: 2_000_000, images: 10, documents: true }).inputTokens).toBe(2_004_096);
});

test('Messages: each kind of token and a web search has its price', () => {
  const usage = {
    input_tokens: 1_000,
    cache_read_input_tokens: 2_000,
    cache_creation_input_tokens: 700,
    cache_creation: { ephemeral_5m_input_tokens: 400, ephemeral_1h_input_tokens: 300 },
    output_tokens: 500,
    server_tool_use: { web_search_requests: 3 },
    service_tier: 'standard',
    inference_geo: 'not_available',
    speed: 'standard',
  };
  const usd = (1_000 * 3 + 2_000 * 0.3 + 400 * 3.75 + 300 * 6 + 500 * 15) / 1e6 + 0.03;
  expect(charged('anthropic-messages', usage)).toEqual({ inputTokens: 3_700, outputTokens: 500, ...exactly(usd) });
});

test('Messages: cache writes whose sum changed since their split was stated are priced', () => {
  const usage = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 900, cache_creation: { ephemeral_1h_input_tokens: 300 } };
  expect(charged('anthropic-messages', usage)).toMatchObject(exactly((600 * 3.75 + 300 * 6) / 1e6));
  const fewer = { ...usage, cache_creation_input_tokens: 100 };
  expect(charged('anthropic-messages', fewer)).toMatchObject(exactly((100 * 6) / 1e6));
});

test('Chat: cached and audio tokens have their prices', () => {
  const usage = {
    prompt_tokens: 1_000,
    completion_tokens: 100,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 600 },
    completion_tokens_details: { audio_tokens: 80, reasoning_tokens: 5 },
  };
  const audio = reserved('openai-chat', { model: 'gpt-audio' });
  const usd = (400 * 2.5 + 600 * 32 + 20 * 10 + 80 * 64) / 1e6;
  expect(charged('openai-chat', usage, { model: 'gpt-audio' }, audio)).toEqual({ inputTokens: 1_000, outputTokens: 100, ...exactly(usd) });
  const cached = { prompt_tokens: 1_000, completion_tokens: 100, prompt_tokens_details: { cached_tokens: 900 } };
  expect(charged('openai-chat', cached)).toMatchObject(exactly((100 * 1.25 + 900 * 0.125 + 100 * 10) / 1e6));
});

test('Responses: cached tokens and cache writes have their prices', () => {
  const usage = { input_tokens: 1_000, output_tokens: 10, input_tokens_details: { cached_tokens: 300, cache_write_tokens: 200 } };
  const terra = reserved('openai-responses', { model: 'gpt-5.6-terra' });
  const usd = (500 * 2 + 300 * 0.2 + 200 * 2.5 + 10 * 12) / 1e6;
  expect(charged('openai-responses', usage, { model: 'gpt-5.6-terra' }, terra)).toMatchObject(exactly(usd));
});

const FEW = { input_tokens: 100, output_tokens: 10 };
const FEW_USD = (100 * 1.25 + 10 * 10) / 1e6;

test.each([
  ['web searches by their stated number', { web_search: { num_requests: 4 } }, ['web_search_call'], 0.04],
  ['no web search where none is billed', { web_search: { num_requests: 0 } }, ['web_search_call'], 0],
  ['web searches by their items where no number is stated', null, ['web_search_call', 'web_search_call'], 0.02],
  ['file searches', null, ['file_search_call', 'file_search_call'], 0.005],
  [
    'each container of the code interpreter once',
    null,
    ['code_interpreter_call:a', 'code_interpreter_call:a', 'code_interpreter_call:b'],
    0.06,
  ],
  ['calls that name no container', null, ['code_interpreter_call', 'code_interpreter_call'], 0.06],
  ['images', { image_gen: { input_tokens: 1_000, output_tokens: 2_000 } }, [], (1_000 * 8 + 2_000 * 32) / 1e6],
  ['nothing for the caller’s own tools', {}, ['function_call', 'local_shell_call'], 0],
] as const)('Responses: OpenAI’s own tools are charged: %s', (_what, toolUsage, calls, usd) => {
  const toolCalls = calls.map((call) => ({ type: call.split(':')[0] ?? '', container: call.split(':')[1] ?? null }));
  expect(charged('openai-responses', FEW, { toolUsage, toolCalls })).toMatchObject(exactly(FEW_USD + usd));
});

test.each([
  ['default', GPT, 1],
  ['auto', GPT, 1],
  ['scale', GPT, 1],
  ['flex', GPT, 0.5],
  ['batch', GPT, 0.5],
  ['priority', GPT, 2],
  ['priority', 'gpt-5.5', 2.5],
  ['fast', GPT, 2.5],
  ['ultrafast', GPT, 6],
  ['a-tier-of-tomorrow', GPT, 6],
  ['constructor', GPT, 6],
])('OpenAI: an answer by the tier %s of %s costs %d times as much', (serviceTier, model, factor) => {
  const reservation = reserved('openai-responses', { model });
  const standard = charged('openai-responses', FEW, { model }, reservation).usd;
  expect(charged('openai-responses', FEW, { model, serviceTier }, reservation)).toMatchObject(exactly(standard * factor));
});

test.each([
  [{ service_tier: 'priority' }, 1],
  [{ service_tier: 'batch' }, 0.5],
  [{ speed: 'fast' }, 6],
  [{ inference_geo: 'us' }, 1.1],
  [{ inference_geo: 'global' }, 1],
  [{ inference_geo: 'us', speed: 'fast' }, 6.6],
])('Anthropic: an answer that states %j costs %d times as much', (tier, factor) => {
  const usd = (100 * 3 + 10 * 15) / 1e6;
  expect(charged('anthropic-messages', { ...FEW, ...tier })).toMatchObject(exactly(usd * factor));
});

const iteration = (type: string, model?: string) => ({
  type,
  input_tokens: 1_000,
  output_tokens: 100,
  ...(model === undefined ? {} : { model }),
});
const OWN_USD = (1_000 * 3 + 100 * 15) / 1e6;

test('Messages: compactions and advisors are charged beside the model’s own tokens, which hold its iterations', () => {
  const usage = { input_tokens: 1_000, output_tokens: 100, iterations: [iteration('message'), iteration('compaction')] };
  expect(charged('anthropic-messages', usage)).toEqual({ inputTokens: 2_000, outputTokens: 200, ...exactly(2 * OWN_USD) });
  const advised = { ...usage, iterations: [iteration('message', CLAUDE), iteration('advisor_message', 'claude-opus-4-6')] };
  expect(charged('anthropic-messages', advised)).toMatchObject(exactly(OWN_USD + (1_000 * 5 + 100 * 25) / 1e6));
});

test('Messages: an advisor whose price is unknown is charged at the dearest price', () => {
  const usage = {
    input_tokens: 1_000,
    output_tokens: 100,
    iterations: [iteration('message'), iteration('advisor_message', 'claude-of-tomorrow')],
  };
  expect(charged('anthropic-messages', usage)).toMatchObject(exactly(OWN_USD + (1_000 * 15 + 100 * 75) / 1e6));
});

test('Messages: where another model served the answer, each iteration is priced by its own model', () => {
  const usage = {
    input_tokens: 9_999,
    output_tokens: 9_999,
    server_tool_use: { web_search_requests: 1 },
    iterations: [iteration('message'), iteration('fallback_message', 'claude-opus-4-6'), iteration('compaction')],
  };
  const usd = 2 * OWN_USD + (1_000 * 5 + 100 * 25) / 1e6 + 0.01;
  expect(charged('anthropic-messages', usage)).toEqual({ inputTokens: 3_000, outputTokens: 300, ...exactly(usd) });
});

test('an answer that names a snapshot of another price is charged by that, unless the operator priced the model', () => {
  const served = { model: 'gpt-5-nano-2025-08-07' };
  expect(charged('openai-responses', FEW, served)).toMatchObject(exactly((100 * 0.05 + 10 * 0.4) / 1e6));
  const price = createPrices([{ dialect: 'openai', name: GPT, inputUsdPerMillion: 1, outputUsdPerMillion: 1 }]).find('openai-chat', GPT);
  if (price === null) throw new Error('no price');
  const own = boundCost(price, { bytes: 1_000, maxOutputTokens: 100, choices: 1 });
  expect(charged('openai-responses', FEW, served, own)).toMatchObject(exactly(110 / 1e6));
  expect(charged('openai-responses', FEW, { model: 'made-up' })).toMatchObject(exactly(FEW_USD));
});

test.each([
  ['a negative number', { input_tokens: -1, output_tokens: 1 }, { inputTokens: 0, outputTokens: 1 }],
  ['a fraction', { input_tokens: 1, output_tokens: 1.5 }, { inputTokens: 1, outputTokens: 0 }],
  ['a text', { input_tokens: '7', output_tokens: 1 }, { inputTokens: 0, outputTokens: 1 }],
  ['a number beyond the safe ones', { input_tokens: 2 ** 60, output_tokens: 1 }, { inputTokens: 0, outputTokens: 1 }],
  ['more than was reserved', { input_tokens: 2 ** 31 + 5, output_tokens: 1 }, { inputTokens: 0, outputTokens: 1 }],
  ['more output than was allowed', { input_tokens: 1, output_tokens: 10_000_000 }, { inputTokens: 1, outputTokens: 0 }],
  [
    'more cached than there was',
    { input_tokens: 5, output_tokens: 1, input_tokens_details: { cached_tokens: 6 } },
    { inputTokens: 5, outputTokens: 1 },
  ],
])('a usage that cannot be true is charged the reservation: %s', (_what, usage, tokens) => {
  const reservation = reserved('openai-responses');
  expect(charged('openai-responses', usage)).toEqual({ ...tokens, usd: reservation.usd, estimated: true, implausible: true });
});

test('an iteration or a tool’s figure that cannot be true is charged the reservation', () => {
  const usage = { ...FEW, iterations: [{ type: 'compaction', input_tokens: -5, output_tokens: 1 }] };
  expect(charged('anthropic-messages', usage)).toMatchObject({ usd: reserved('anthropic-messages').usd, implausible: true });
  expect(charged('anthropic-messages', { ...FEW, iterations: [{ type: 'compaction' }] })).toMatchObject({ implausible: true });
  const toolUsage = { web_search: { num_requests: -1 } };
  expect(charged('openai-responses', FEW, { toolUsage })).toMatchObject({ usd: reserved('openai-responses').usd, implausible: true });
});

test('the most that an answer costs is its reservation at the tier that it states', () => {
  const reservation = reserved('openai-responses', { bytes: 0, maxOutputTokens: 10 });
  const most = { input_tokens: 4_096, output_tokens: 10 };
  expect(charged('openai-responses', most, {}, reservation)).toMatchObject(exactly(reservation.usd));
  expect(charged('openai-responses', most, { serviceTier: 'priority' }, reservation)).toMatchObject(exactly(2 * reservation.usd));
  const more = { input_tokens: 4_096, output_tokens: 11 };
  expect(charged('openai-responses', more, {}, reservation)).toMatchObject({ usd: reservation.usd, implausible: true });
});

test('tokens beyond 32 bits are counted where they are possible', () => {
  const reservation = reserved('openai-responses', { bytes: 2 ** 32 });
  expect(charged('openai-responses', { input_tokens: 2 ** 32, output_tokens: 0 }, {}, reservation)).toMatchObject({
    inputTokens: 2 ** 32,
    estimated: false,
  });
});

test('an answer without a usage is charged the reservation', () => {
  const { usd } = reserved('openai-responses');
  const unknown = { inputTokens: 0, outputTokens: 0, usd, estimated: true, implausible: false };
  expect(charged('openai-responses', null)).toEqual(unknown);
  expect(charged('openai-responses', {})).toEqual(unknown);
  expect(charge(prices, 'openai-responses', GPT, reserved('openai-responses'), NO_USAGE)).toEqual(unknown);
});

test('Messages: an answer that broke off is charged the input that was stated and the most output, and never above the reservation', () => {
  const begun = { ...NO_USAGE, model: CLAUDE, usage: { input_tokens: 1_000, cache_read_input_tokens: 500, output_tokens: 3 } };
  const wide = reserved('anthropic-messages', { bytes: 100_000, maxOutputTokens: 2_000 });
  const usd = (1_000 * 3 + 500 * 0.3 + 2_000 * 15) / 1e6;
  expect(charge(prices, 'anthropic-messages', CLAUDE, wide, begun)).toEqual({
    inputTokens: 1_500,
    outputTokens: 3,
    usd: near(usd),
    estimated: true,
    implausible: false,
  });
  const narrow = { ...wide, usd: 0.001 };
  expect(charge(prices, 'anthropic-messages', CLAUDE, narrow, begun)).toMatchObject({ usd: 0.001, estimated: true });
});

test('Chat: a usage that was stated on the way is no final one', () => {
  const seen = { ...NO_USAGE, usage: { prompt_tokens: 1_000, completion_tokens: 7 } };
  const usd = (1_000 * 1.25 + 10_000 * 10) / 1e6;
  expect(charge(prices, 'openai-chat', GPT, reserved('openai-chat'), seen)).toMatchObject({
    usd: near(usd),
    estimated: true,
  });
});

test('a failure that the provider reported costs what it stated, else nothing', () => {
  const free = { inputTokens: 0, outputTokens: 0, usd: 0, estimated: false, implausible: false };
  expect(charged('openai-responses', null, { failure: 'llm_failed' })).toEqual(free);
  expect(charged('openai-responses', {}, { failure: 'llm_failed' })).toEqual(free);
  expect(charged('openai-responses', FEW, { failure: 'llm_failed' })).toMatchObject(exactly(FEW_USD));
  const begun = { usageFinal: false, failure: 'llm_failed' } as const;
  expect(charged('anthropic-messages', FEW, begun)).toMatchObject({ usd: near((100 * 3 + 10 * 15) / 1e6), estimated: true });
});

test('a reservation and a charge take under 15 µs each', () => {
  const usage = {
    input_tokens: 1_000,
    cache_read_input_tokens: 2_000,
    cache_creation_input_tokens: 9,
    output_tokens: 500,
    service_tier: 'standard',
  };
  const seen = { ...NO_USAGE, model: `${CLAUDE}-20260217`, usage, usageFinal: true, done: true };
  const rounds = 2_000;
  const spent = Array.from({ length: 7 }, () => {
    const startedMs = performance.now();
    for (let round = 0; round < rounds; round += 1) {
      const price = prices.find('anthropic-messages', CLAUDE);
      if (price === null) throw new Error('no price');
      charge(prices, 'anthropic-messages', CLAUDE, boundCost(price, { bytes: 9_000, maxOutputTokens: 8_000, choices: 1 }), seen);
    }
    return ((performance.now() - startedMs) * 1_000) / rounds;
  });
  // The best of several: the machine does other things as well.
  expect(Math.min(...spent)).toBeLessThan(15);
});
