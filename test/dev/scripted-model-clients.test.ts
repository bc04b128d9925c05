/** The scripted model answers as the providers do: their own clients understand all of it, streamed and not. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { startScriptedModel, withScript, type ScriptedModel, type Step } from '../../src/dev/scripted-model/index.ts';

const CREDENTIAL = 'credential-for-tests';
const SCRIPT: Step[] = [{ think: 'What is there?' }, { say: 'I look at the files that are here. ' }, { run: 'ls' }, { say: 'Two files.' }];
const PROMPT = withScript('Look around.', SCRIPT);

let model: ScriptedModel;
let anthropic: Anthropic;
let openai: OpenAI;

beforeAll(async () => {
  model = await startScriptedModel({ credential: CREDENTIAL });
  anthropic = new Anthropic({ baseURL: model.baseUrl, apiKey: CREDENTIAL, maxRetries: 0 });
  openai = new OpenAI({ baseURL: `${model.baseUrl}/v1`, apiKey: CREDENTIAL, maxRetries: 0 });
});

afterAll(() => model.close());

const claude = {
  model: 'claude-haiku-4-5',
  max_tokens: 1000,
  tools: [{ name: 'Bash', input_schema: { type: 'object' as const, properties: { command: { type: 'string' } } } }],
};
const prompt: Anthropic.MessageParam = { role: 'user', content: PROMPT };

it.each([false, true])('Anthropic Messages, stream: %s: thinks, speaks, calls the tool, and goes on with its result', async (stream) => {
  const ask = (messages: Anthropic.MessageParam[]): Promise<Anthropic.Message> =>
    stream ? anthropic.messages.stream({ ...claude, messages }).finalMessage() : anthropic.messages.create({ ...claude, messages });
  const first = await ask([prompt]);
  expect(first.content).toMatchObject([
    { type: 'thinking', thinking: 'What is there?' },
    { type: 'text', text: 'I look at the files that are here. ' },
    { type: 'tool_use', name: 'Bash', input: { command: 'ls' } },
  ]);
  expect(first.stop_reason).toBe('tool_use');
  const [, , call] = first.content;
  const result = { type: 'tool_result' as const, tool_use_id: call?.type === 'tool_use' ? call.id : '', content: 'a b' };
  const second = await ask([prompt, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }]);
  expect(second.content).toMatchObject([{ type: 'text', text: 'Two files.' }]);
  expect(second.stop_reason).toBe('end_turn');
  const { usage } = model.served.at(-1) ?? {};
  const { input_tokens: plain, cache_creation_input_tokens: written, cache_read_input_tokens: read, output_tokens: output } = second.usage;
  expect([plain + (written ?? 0) + (read ?? 0), output]).toEqual([usage?.input, usage?.output]);
});

it.each([false, true])('OpenAI Responses, stream: %s: thinks, speaks, calls the tool, and goes on with its result', async (stream) => {
  const ask = (input: OpenAI.Responses.ResponseInput): Promise<OpenAI.Responses.Response> => {
    const tool = { type: 'function' as const, name: 'exec_command', strict: false, parameters: { type: 'object', properties: {} } };
    const body = { model: 'gpt-5.1-codex', input, tools: [tool] };
    return stream ? openai.responses.stream(body).finalResponse() : openai.responses.create(body);
  };
  const first = await ask([{ role: 'user', content: PROMPT }]);
  expect(first.output).toMatchObject([
    { type: 'reasoning', summary: [{ text: 'What is there?' }] },
    { type: 'message', content: [{ type: 'output_text', text: 'I look at the files that are here. ' }] },
    { type: 'function_call', name: 'exec_command', arguments: '{"cmd":"ls"}' },
  ]);
  const call = first.output.find((item) => item.type === 'function_call');
  const result = { type: 'function_call_output' as const, call_id: call?.call_id ?? '', output: 'a b' };
  const second = await ask([{ role: 'user', content: PROMPT }, ...(call === undefined ? [] : [call]), result]);
  expect(second.output_text).toBe('Two files.');
  const { usage } = model.served.at(-1) ?? {};
  expect([second.usage?.input_tokens, second.usage?.input_tokens_details.cached_tokens]).toEqual([usage?.input, usage?.cacheRead]);
});

it.each([false, true])('Chat Completions, stream: %s: speaks, calls the tool, and goes on with its result', async (stream) => {
  const ask = (messages: OpenAI.ChatCompletionMessageParam[]): Promise<OpenAI.ChatCompletion> => {
    const body = { model: 'gpt-5.1', messages, tools: [{ type: 'function' as const, function: { name: 'shell' } }] };
    const streamed = { ...body, stream_options: { include_usage: true } };
    return stream ? openai.chat.completions.stream(streamed).finalChatCompletion() : openai.chat.completions.create(body);
  };
  const first = await ask([{ role: 'user', content: PROMPT }]);
  expect(first.choices[0]).toMatchObject({
    finish_reason: 'tool_calls',
    message: {
      content: 'I look at the files that are here. ',
      tool_calls: [{ function: { name: 'shell', arguments: '{"command":["bash","-lc","ls"]}' } }],
    },
  });
  const [choice] = first.choices;
  const [call] = choice?.message.tool_calls ?? [];
  const result = { role: 'tool' as const, tool_call_id: call?.id ?? '', content: 'a b' };
  const second = await ask([{ role: 'user', content: PROMPT }, ...(choice === undefined ? [] : [choice.message]), result]);
  expect(second.choices[0]?.message.content).toBe('Two files.');
  const { usage } = model.served.at(-1) ?? {};
  expect([second.usage?.prompt_tokens, second.usage?.completion_tokens]).toEqual([usage?.input, usage?.output]);
});

it('a Chat Completions stream reports no usage unless it is asked to', async () => {
  const stream = await openai.chat.completions.create({ model: 'gpt-5.1', messages: [{ role: 'user', content: 'hello' }], stream: true });
  for await (const chunk of stream) expect(chunk.usage).toBeUndefined();
  expect(model.served.at(-1)).toMatchObject({ status: 200, usage: null, usd: null });
});

it('counts tokens without charging for them', async () => {
  const { input_tokens: tokens } = await anthropic.messages.countTokens({ model: claude.model, messages: [prompt] });
  expect(tokens).toBeGreaterThan(10);
  expect(model.served.at(-1)).toMatchObject({ protocol: 'count_tokens', usage: null, usd: null });
});

it('lists the models of each provider', async () => {
  const claudes = await anthropic.models.list();
  expect(claudes.data.map(({ id }) => id)).toEqual(['claude-sonnet-4-6', 'claude-haiku-4-5']);
  const gpts = await openai.models.list();
  expect(gpts.data.map(({ id }) => id)).toEqual(['gpt-5.1-codex', 'gpt-5.1']);
});

it('refuses another credential in the envelope of each provider', async () => {
  const body = { model: 'gpt-5.1', input: 'hello' };
  await expect(anthropic.withOptions({ apiKey: 'another' }).messages.create({ ...claude, messages: [prompt] })).rejects.toMatchObject({
    status: 401,
    error: { error: { type: 'authentication_error' } },
  });
  await expect(openai.withOptions({ apiKey: 'another' }).responses.create(body)).rejects.toMatchObject({
    status: 401,
    code: 'invalid_api_key',
  });
});

it.each([402, 403, 429, 500, 529])('fails with HTTP %i where the script says so', async (status) => {
  const content = withScript('Fail.', [{ fail: { status } }]);
  await expect(anthropic.messages.create({ ...claude, messages: [{ role: 'user', content }] })).rejects.toMatchObject({ status });
  await expect(openai.responses.create({ model: 'gpt-5.1', input: content })).rejects.toMatchObject({ status });
  await expect(openai.chat.completions.create({ model: 'gpt-5.1', messages: [{ role: 'user', content }] })).rejects.toMatchObject({
    status,
  });
  expect(model.served.slice(-3).map((request) => [request.status, request.usd])).toEqual(Array.from({ length: 3 }, () => [status, null]));
});
