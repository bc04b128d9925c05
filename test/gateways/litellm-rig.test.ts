import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

import { startLiteLlm, type LiteLlm } from '../helpers/litellm/litellm.ts';

/**
 * The LiteLLM that tests of its adapter run against is a real one: its keys answer on each of the protocols that agents use, it charges what
 * they spend, and it refuses money that other calls of the same key hold where it reserves budgets.
 */
const GPT = 'gpt-for-tests';
const CLAUDE = 'claude-for-tests';
/** A call takes 10 tokens of input and 20 of output. */
const CALL_USD = 0.0005;
const UPSTREAM_DELAY_MS = 300;

const upstream = createServer((request, response) => {
  void text(request).then(async () => {
    await sleep(UPSTREAM_DELAY_MS);
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answers[request.url ?? '']));
  });
});

const answers: Record<string, object> = {
  '/v1/chat/completions': {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'gpt-upstream',
    choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 },
  },
  '/v1/responses': {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status: 'completed',
    model: 'gpt-upstream',
    output: [
      {
        type: 'message',
        id: 'msg_1',
        status: 'completed',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'hello', annotations: [] }],
      },
    ],
    parallel_tool_calls: true,
    tool_choice: 'auto',
    tools: [],
    usage: { input_tokens: 10, output_tokens: 20, total_tokens: 30 },
  },
  '/v1/messages': {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-upstream',
    content: [{ type: 'text', text: 'hello' }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 10, output_tokens: 20 },
  },
};

let litellm: LiteLlm;
beforeAll(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = z.object({ port: z.number() }).parse(upstream.address());
  const price = { inputUsdPerMillion: 10, outputUsdPerMillion: 20 };
  litellm = await startLiteLlm({
    openaiUrl: `http://127.0.0.1:${port}/v1`,
    anthropicUrl: `http://127.0.0.1:${port}`,
    models: [
      { name: GPT, upstream: 'openai', upstreamModel: 'gpt-upstream', ...price },
      { name: CLAUDE, upstream: 'anthropic', upstreamModel: 'claude-upstream', ...price },
    ],
    reservesBudget: true,
  });
});
afterAll(async () => {
  await litellm?.close();
  upstream.close();
});

async function mint(maxBudgetUsd: number): Promise<string> {
  const response = await post('/key/generate', litellm.masterKey, { models: [GPT, CLAUDE], max_budget: maxBudgetUsd, duration: '1h' });
  return z.object({ key: z.string() }).parse(await response.json()).key;
}

function post(path: string, key: string, body: object): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  return fetch(`${litellm.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
}

const CHAT = { model: GPT, messages: [{ role: 'user', content: 'hello' }] };

async function spentUsd(key: string): Promise<number> {
  const response = await fetch(`${litellm.url}/key/info?key=${key}`, { headers: { authorization: `Bearer ${litellm.masterKey}` } });
  return z.object({ info: z.object({ spend: z.number() }) }).parse(await response.json()).info.spend;
}

it('a key answers on each of the three protocols, and is charged for what it called', async () => {
  const key = await mint(1);
  const statuses = [
    await post('/v1/chat/completions', key, CHAT),
    await post('/v1/responses', key, { model: GPT, input: 'hello' }),
    await post('/v1/messages', key, { model: CLAUDE, max_tokens: 10, messages: CHAT.messages }),
  ].map(({ status }) => status);
  expect(statuses).toEqual([200, 200, 200]);
  await expect.poll(() => spentUsd(key)).toBeCloseTo(3 * CALL_USD, 6);
});

it('a key that calls eight times at once is refused some of them where budgets are reserved, and has spent a fraction of its own', async () => {
  const key = await mint(0.5);
  const calls = Array.from({ length: 8 }, () => post('/v1/chat/completions', key, CHAT));
  const statuses = (await Promise.all(calls)).map(({ status }) => status);
  const answered = statuses.filter((status) => status === 200).length;
  expect(answered).toBeGreaterThan(0);
  expect(answered).toBeLessThan(8);
  await expect.poll(() => spentUsd(key)).toBeCloseTo(answered * CALL_USD, 6);
});
