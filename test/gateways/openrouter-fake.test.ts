import { createServer } from 'node:http';

import { expect, it, onTestFinished } from 'vitest';

import { listenOnPort } from '../../src/proxy/server/listen.ts';
import { COST } from '../fakes/openrouter/ledger.ts';
import type { FakeOpenRouter } from '../fakes/openrouter/server.ts';
import { mintRequest, MODEL, newRef, startOpenRouterRig } from './openrouter-rig.ts';

const PATHS = ['chat/completions', 'messages', 'responses'] as const;

async function ask(
  fake: FakeOpenRouter,
  key: string,
  path: string,
  body: object = {},
): Promise<{ status: number; text: string; body: unknown }> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const response = await fetch(`${fake.baseUrl}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify({ model: MODEL, ...body }) });
  const text = await response.text();
  return { status: response.status, text, body: text.startsWith('{') ? JSON.parse(text) : null };
}

it('a key answers in each API until its limit is spent, and states its cost in answers and streams', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const { secret } = await gateway.mint(mintRequest(newRef(), 1, { budgetUsd: 0.055 }));
  for (const path of PATHS) {
    expect(await ask(fake, secret.reveal(), path)).toMatchObject({ status: 200, body: { usage: { cost: COST.usd } } });
    expect((await ask(fake, secret.reveal(), path, { stream: true })).text).toContain(`"cost":${COST.usd}`);
  }
  const [chat, messages, responses] = await Promise.all(PATHS.map(async (path) => ask(fake, secret.reveal(), path)));
  expect(chat).toMatchObject({
    status: 402,
    body: { error: { code: 402, metadata: { error_type: 'payment_required', limit_source: 'openrouter_key_limit' } } },
  });
  expect(messages).toMatchObject({
    status: 402,
    body: { type: 'error', error: { type: 'billing_error', error_type: 'payment_required' } },
  });
  expect(responses).toMatchObject({
    status: 402,
    body: { status: 'failed', error: { code: 'server_error' }, error_type: 'payment_required' },
  });
  fake.statuses.keyLimit = 403;
  for (const path of PATHS) expect(await ask(fake, secret.reveal(), path)).toMatchObject({ status: 403, body: { error: { code: 403 } } });
});

it('a model that the key may not use, an account without credit and an ended key are refused', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const ref = newRef();
  const { secret, id } = await gateway.mint(mintRequest(ref, 1));
  const other = { model: 'openai/other' };
  expect(await ask(fake, secret.reveal(), 'messages', other)).toMatchObject({
    status: 403,
    body: { error: { type: 'permission_error', error_type: 'permission_denied' } },
  });
  fake.statuses.model = 404;
  expect(await ask(fake, secret.reveal(), 'responses', other)).toMatchObject({ status: 404, body: { error_type: 'not_found' } });
  fake.accountRefusal = 'no_credit';
  expect(await ask(fake, secret.reveal(), 'chat/completions')).toMatchObject({
    status: 402,
    body: { error: { metadata: { limit_source: 'openrouter_credits' } } },
  });
  fake.accountRefusal = null;
  fake.faults.arm('disable', { is: 'cached', ms: 300 });
  await gateway.disable({ ref, id, attempts: 1 });
  expect(await ask(fake, secret.reveal(), 'messages')).toMatchObject({ status: 200 });
  await expect.poll(async () => (await ask(fake, secret.reveal(), 'messages')).status).toBe(401);
});

it('a request is sent to the upstream, whose usage gets a cost in answers and streams', async () => {
  const { fake, gateway } = await startOpenRouterRig();
  const upstream = createServer((req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write(`event: message_delta\ndata: {"type":"message_delta","path":"${req.url}","usa`);
    setTimeout(() => res.end('ge": {"output_tokens":3}}\n\n'), 20);
  });
  const baseUrl = await listenOnPort(upstream, '127.0.0.1', 0);
  onTestFinished(() => void upstream.close());
  fake.upstream = { baseUrl, credential: 'x' };
  const { secret } = await gateway.mint(mintRequest(newRef(), 1));
  const { text } = await ask(fake, secret.reveal(), 'messages', { stream: true });
  expect(text).toBe(
    `event: message_delta\ndata: {"type":"message_delta","path":"/v1/messages","usage":{"cost":0.01,"output_tokens":3}}\n\n`,
  );
});
