import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startScriptedModel, withScript, type ScriptedModel } from '../../src/dev/scripted-model/index.ts';
import { lastFailure } from '../../src/store/request-records.ts';
import { CLAUDE, CREDENTIAL, generating, GPT, jobOf, send, startRig, startUpstream, type Answer, type Rig, type TestKey } from './rig.ts';

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

const paths = Object.keys(generating('hello'));

function expectEnvelope(path: string, { text }: Answer, code: string): void {
  const some: unknown = expect.any(String);
  const error = { message: some, type: some, code };
  expect(JSON.parse(text)).toEqual(path === '/v1/messages' ? { type: 'error', error } : { error: { ...error, param: null } });
}

const models = { '/v1/messages': 'claude-made-up', '/v1/responses': 'made-up', '/v1/chat/completions': 'made-up' };

describe.each(paths)('%s', (path) => {
  const body = (more: object = {}) => generating('hello', more)[path] ?? {};
  const unpriced = Object.entries(models).find(([of]) => of === path)?.[1] ?? '';

  it.each([
    ['no key', 401, 'key_refused', async () => ({ secret: null, ref: null }), body()],
    ['an unknown key', 401, 'key_refused', async () => ({ secret: 'nobody-has-this', ref: null }), body()],
    ['an expired key', 401, 'key_refused', () => rig.mint({ expiresInMs: -1_000 }), body()],
    ['a disabled key', 401, 'key_refused', disabledKey, body()],
    ['a budget of nothing', 402, 'budget_exhausted', () => rig.mint({ budgetUsd: 0 }), body()],
    ['a model that is not the key’s', 403, 'model_not_allowed', () => rig.mint({ models: ['another'] }), body()],
    ['a model without a price', 403, 'model_unpriced', () => rig.mint({ models: [unpriced] }), body({ model: unpriced })],
    ['a service tier without a price', 403, 'model_unpriced', () => rig.mint(), body({ service_tier: 'priority' })],
    ['no model', 400, 'llm_rejected', () => rig.mint(), { stream: true }],
    ['no JSON', 400, 'llm_rejected', () => rig.mint(), 'nonsense'],
    ['33 MiB', 413, 'llm_rejected', () => rig.mint(), 'x'.repeat(33 * 1024 * 1024)],
  ] satisfies [string, number, string, () => Promise<{ secret: string | null; ref: string | null }>, object | string][])(
    'refuses %s with %d, in the envelope of its protocol',
    async (_title, status, code, mint, sent) => {
      const key = await mint();
      const before = model.served.length;
      const answer = await send(rig, key.secret, path, sent);
      expect(answer.status).toBe(status);
      expectEnvelope(path, answer, code);
      expect(answer.headers.get('x-should-retry')).toBe('false');
      expect(model.served.length, 'nothing reached the provider').toBe(before);
      if (!isTestKey(key)) return;
      const rows = code === 'key_refused' ? [] : [{ status, code, usd: 0 }];
      expect(await rig.ended(key), 'a row where the key is good, else a counter').toMatchObject(rows);
      expect(await lastFailure(rig.database.db, jobOf(key)), 'on record where the key is known').toBe(code);
      expect(await rig.usage(key)).toMatchObject({ requests: 0, usd: 0 });
    },
  );

  it.each([
    [402, 'llm_payment_required'],
    [403, 'llm_forbidden'],
    [404, 'llm_rejected'],
    [429, 'llm_rate_limited'],
    [500, 'llm_failed'],
    [529, 'llm_failed'],
  ])('passes the provider’s %d on with its message, and records it as %s', async (status, code) => {
    const key = await rig.mint();
    const failing = generating(withScript('fail', [{ fail: { status } }]))[path];
    const answer = await send(rig, key.secret, path, failing);
    expect(answer.status).toBe(status);
    expect(answer.text).toContain('the script says so');
    expect(await lastFailure(rig.database.db, jobOf(key))).toBe(code);
    expect(await rig.usage(key)).toMatchObject({ requests: 1, usd: 0 });

    await send(rig, key.secret, path, body());
    await rig.ended(key);
    expect(await lastFailure(rig.database.db, jobOf(key)), 'after a success').toBeNull();
  });
});

it('a provider that refuses our credential shows as 403, and nothing of its answer gets through', async () => {
  const upstream = await startUpstream((_req, res) => res.writeHead(401).end(`${CREDENTIAL} is wrong`));
  const other = await startRig(upstream.url);
  const key = await other.mint();
  for (const [path, body] of Object.entries(generating('hello'))) {
    const answer = await send(other, key.secret, path, body);
    expect(answer.status).toBe(403);
    expectEnvelope(path, answer, 'llm_unauthorized');
  }
  await other.close();
  await upstream.close();
});

it('a protocol without a credential is refused', async () => {
  const other = await startRig(model.baseUrl, { credential: null });
  const key = await other.mint();
  const answer = await send(other, key.secret, '/v1/messages', generating('hello')['/v1/messages']);
  expect(answer.status).toBe(403);
  expectEnvelope('/v1/messages', answer, 'llm_unauthorized');
  await other.close();
});

it('a provider that cannot be reached shows as 502', async () => {
  const other = await startRig('http://127.0.0.1:1');
  const key = await other.mint();
  const answer = await send(other, key.secret, '/v1/responses', generating('hello')['/v1/responses']);
  expect(answer.status).toBe(502);
  expectEnvelope('/v1/responses', answer, 'llm_failed');
  expect(await other.ended(key)).toMatchObject([{ code: 'llm_failed', usd: 0 }]);
  await other.close();
});

it.each([
  ['GET', '/'],
  ['GET', '/v1/keys'],
  ['POST', '/v1/embeddings'],
  ['GET', '/v1/models/..%2ffiles'],
  ['GET', '/v1/messages'],
  ['DELETE', '/v1/models/gpt-5.1'],
])('%s %s is not served', async (method, path) => {
  const { secret } = await rig.mint();
  const answer = await fetch(`${rig.proxy.url}${path}`, { method, headers: { authorization: `Bearer ${secret}` } });
  expect(answer.status).toBe(404);
  expect(await answer.json()).toHaveProperty('error.code', 'llm_rejected');
});

it('a WebSocket is answered with 426, so that Codex uses HTTP', async () => {
  const { secret } = await rig.mint();
  const { request } = await import('node:http');
  const status = await new Promise((resolve, reject) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    };
    request(`${rig.proxy.url}/v1/responses`, { headers: { ...headers, authorization: `Bearer ${secret}` } }, (res) =>
      resolve(res.resume().statusCode),
    )
      .on('error', reject)
      .end();
  });
  expect(status).toBe(426);
});

it('the official client sees the typed error and does not try again', async () => {
  const key = await rig.mint({ budgetUsd: 0 });
  const client = new OpenAI({ apiKey: key.secret, baseURL: `${rig.proxy.url}/v1`, maxRetries: 3 });
  await expect(client.responses.create({ model: GPT, input: 'hello' })).rejects.toMatchObject({ status: 402, code: 'budget_exhausted' });
  expect(await rig.ended(key)).toHaveLength(1);
});

it('the key may come as x-api-key, too', async () => {
  const { secret } = await rig.mint({ models: [CLAUDE] });
  expect((await send(rig, null, '/v1/messages', generating('hello')['/v1/messages'], { 'x-api-key': secret })).status).toBe(200);
});

async function disabledKey(): Promise<TestKey> {
  const key = await rig.mint();
  await rig.disable(key);
  return key;
}

function isTestKey(key: { secret: string | null; ref: string | null }): key is TestKey {
  return key.ref !== null;
}
