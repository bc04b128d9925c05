import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { sumUsd } from '../../src/contract/money.ts';
import { startScriptedModel, withScript, type ScriptedModel } from '../../src/dev/scripted-model/index.ts';
import { readEvents } from '../../src/store/events.ts';
import { keyLives } from '../../src/store/key-usage.ts';
import { CLAUDE, CREDENTIAL, generating, GPT, send, startRig, until, type Rig, type TestKey } from './rig.ts';

let model: ScriptedModel;
let rig: Rig;

beforeAll(async () => {
  model = await startScriptedModel({ credential: CREDENTIAL });
  rig = await startRig(model.baseUrl);
});

afterAll(async () => {
  await rig.close();
  await model.close();
});

/** What the model says it sent since. */
function sentSince(start: number) {
  const usages = model.served.slice(start).flatMap(({ usage, usd }) => (usage === null ? [] : [{ ...usage, usd: usd ?? 0 }]));
  return {
    inputTokens: usages.reduce((sum, { input }) => sum + input, 0),
    outputTokens: usages.reduce((sum, { output }) => sum + output, 0),
    requests: usages.length,
    usd: sumUsd(usages.map(({ usd }) => usd)),
  };
}

const prompt = withScript('Tell me.', [{ think: 'a thought' }, { say: 'several words of an answer' }]);

it.each(
  Object.entries(generating(prompt)).flatMap(([path, body]) =>
    [false, true].map((stream) => ({ path, stream, body: { ...body, stream } })),
  ),
)('$path, stream: $stream, is metered to what the provider says', async ({ path, body }) => {
  const key = await rig.mint();
  const start = model.served.length;
  const { status } = await send(rig, key.secret, path, body);
  expect(status).toBe(200);
  const sent = sentSince(start);
  expect(sent.usd).toBeGreaterThan(0);
  expect(await rig.usage(key)).toEqual(sent);
});

it('many at once, over all protocols, add up', async () => {
  const key = await rig.mint({ budgetUsd: 1_000 });
  const start = model.served.length;
  const bodies = Array.from({ length: 24 }, (_, index) =>
    Object.entries(generating(prompt + 'x'.repeat(index), { stream: index % 2 === 0 })),
  ).flat();
  await Promise.all(bodies.map(([path, body]) => send(rig, key.secret, path, body)));
  expect(await rig.usage(key)).toEqual(sentSince(start));
});

it('counting tokens and listing models costs nothing and leaves no record', async () => {
  const key = await rig.mint();
  const counted = await send(rig, key.secret, '/v1/messages/count_tokens', {
    model: CLAUDE,
    messages: [{ role: 'user', content: 'hello' }],
  });
  const listed = await send(rig, key.secret, '/v1/models');
  const listedByAnthropic = await send(rig, key.secret, '/v1/models', undefined, { 'anthropic-version': '2023-06-01' });
  expect([counted.status, listed.status, listedByAnthropic.status]).toEqual([200, 200, 200]);
  expect(JSON.parse(counted.text)).toHaveProperty('input_tokens');
  expect(listed.text).toContain(GPT);
  expect(listedByAnthropic.text).toContain(CLAUDE);
  expect(await rig.usage(key)).toMatchObject({ requests: 0, usd: 0 });
  expect(await rig.ended(key)).toEqual([]);
});

it('the first use of a key is on record once', async () => {
  const key = await rig.mint();
  const jobId = key.ref.split('/')[0] ?? '';
  const body = generating(prompt)['/v1/responses'];
  await Promise.all([1, 2, 3].map(() => send(rig, key.secret, '/v1/responses', body)));
  await until(async () => (await keyLives(rig.database.db, jobId))[0]?.firstUsedAt !== null);
  expect((await readEvents(rig.database.db, jobId, 0)).map(({ type }) => type)).toEqual(['key.used']);
});

it('Anthropic’s client works, streaming and not', async () => {
  const key = await rig.mint();
  const client = new Anthropic({ apiKey: key.secret, baseURL: rig.proxy.url, maxRetries: 0 });
  const request = { model: CLAUDE, max_tokens: 100, messages: [{ role: 'user' as const, content: prompt }] };
  const start = model.served.length;
  const whole = await client.messages.create(request);
  const streamed = await client.messages.stream(request).finalMessage();
  for (const { content } of [whole, streamed]) expect(JSON.stringify(content)).toContain('several words of an answer');
  await expectMetered(key, start);
});

it('OpenAI’s client works, streaming and not, on both of its APIs', async () => {
  const key = await rig.mint();
  const client = new OpenAI({ apiKey: key.secret, baseURL: `${rig.proxy.url}/v1`, maxRetries: 0 });
  const start = model.served.length;
  const response = await client.responses.create({ model: GPT, input: prompt });
  expect(response.output_text).toBe('several words of an answer');
  let text = '';
  for await (const event of await client.responses.create({ model: GPT, input: prompt, stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  expect(text).toBe('several words of an answer');
  const messages = [{ role: 'user' as const, content: prompt }];
  const completion = await client.chat.completions.create({ model: GPT, messages });
  expect(completion.choices[0]?.message.content).toBe('several words of an answer');
  text = '';
  for await (const chunk of await client.chat.completions.create({ model: GPT, messages, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  expect(text).toBe('several words of an answer');
  await expectMetered(key, start);
});

/** A client may be done before its last bytes have come. */
async function expectMetered(key: TestKey, start: number): Promise<void> {
  await until(() => model.inFlight() === 0);
  expect(await rig.usage(key)).toEqual(sentSince(start));
}
