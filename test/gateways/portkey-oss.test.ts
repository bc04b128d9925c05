import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';

import { startScriptedModel, type ScriptedModel } from '../../src/dev/scripted-model/server.ts';
import { installPortkeyOss, startPortkeyOss, type PortkeyOssGateway } from '../helpers/portkey-gateway.ts';
import { CLAUDE, GPT, startRig, type Rig } from '../proxy/rig.ts';

/*
 * Portkey's open-source gateway, really installed and started, between a client and a provider. It has no keys, no budgets and no admin
 * API: it only passes requests on. Where npm cannot install it, these tests are skipped.
 */

const CREDENTIAL = 'sk-of-the-provider';

let gateway: PortkeyOssGateway | null = null;
let model: ScriptedModel;
beforeAll(async () => {
  const folder = await installPortkeyOss();
  model = await startScriptedModel({ credential: CREDENTIAL, script: [{ say: 'Hello from the provider.' }] });
  if (folder !== null) gateway = await startPortkeyOss(folder);
});
afterAll(async () => {
  await gateway?.close();
  await model.close();
});

const messages = [{ role: 'user', content: 'Hello' }];
const PROTOCOLS = [
  // The headers in which our proxy sends a credential to each dialect.
  { path: '/v1/chat/completions', provider: 'openai', body: { model: 'gpt-5.1', messages }, header: 'authorization' },
  { path: '/v1/responses', provider: 'openai', body: { model: 'gpt-5.1', input: 'Hello' }, header: 'authorization' },
  { path: '/v1/messages', provider: 'anthropic', body: { model: 'claude-sonnet-4-6', max_tokens: 99, messages }, header: 'x-api-key' },
] as const;

interface Sent {
  path: string;
  body: object;
  headers: Record<string, string>;
}

async function send(context: TestContext, { path, body, headers }: Sent): Promise<{ status: number; type: string; text: string }> {
  if (gateway === null) return context.skip('npm cannot install Portkey’s gateway here');
  const json = { 'content-type': 'application/json', ...headers };
  const response = await fetch(`${gateway.baseUrl}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

describe.each(PROTOCOLS)('$path', ({ path, provider, body, header }) => {
  const route = (credential = CREDENTIAL): Record<string, string> => ({
    'x-portkey-provider': provider,
    'x-portkey-custom-host': `${model.baseUrl}/v1`,
    [header]: header === 'authorization' ? `Bearer ${credential}` : credential,
  });

  it('is passed to the provider that the headers name', async (context) => {
    const { status, text } = await send(context, { path, body, headers: route() });
    expect(status).toBe(200);
    expect(text).toContain('Hello from the provider.');
    expect(text).toContain('usage');
  });

  it('is streamed to its end', async (context) => {
    const { status, type, text } = await send(context, { path, body: { ...body, stream: true }, headers: route() });
    expect(status).toBe(200);
    expect(type).toContain('text/event-stream');
    expect(text).toMatch(/message_stop|response\.completed|\[DONE\]/);
  });

  it('keeps the provider’s status, and states the error in the form of OpenAI', async (context) => {
    const { status, text } = await send(context, { path, body, headers: route('wrong') });
    expect(status).toBe(401);
    expect(JSON.parse(text)).toMatchObject({
      error: { message: expect.any(String) as unknown, type: expect.any(String) as unknown },
      provider,
    });
  });

  it('is refused where no header names a provider, so that a base URL alone does not suffice', async (context) => {
    const { [header]: credential = '' } = route();
    const { status, text } = await send(context, { path, body, headers: { [header]: credential } });
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ status: 'failure', message: expect.stringContaining('x-portkey-provider') as unknown });
  });
});

it('a host in a private network is refused, whatever the credential', async (context) => {
  const headers = {
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://${[10, 0, 0, 1].join('.')}/v1`,
    authorization: `Bearer ${CREDENTIAL}`,
  };
  expect(await send(context, { path: '/v1/responses', body: {}, headers })).toMatchObject({ status: 400 });
});

it('there is no admin API that could make keys', async (context) => {
  const headers = { 'x-portkey-api-key': 'any' };
  expect(await send(context, { path: '/v1/api-keys/workspace/service', body: { name: 'x', scopes: [] }, headers })).toMatchObject({
    status: 400,
  });
});

describe('as an upstream of our proxy', () => {
  let rig: Rig | null = null;
  beforeAll(async () => {
    if (gateway === null) return;
    const host = { 'x-portkey-custom-host': `${model.baseUrl}/v1` };
    const headers = { anthropic: { 'x-portkey-provider': 'anthropic', ...host }, openai: { 'x-portkey-provider': 'openai', ...host } };
    rig = await startRig(gateway.baseUrl, { credential: CREDENTIAL, headers });
  });
  afterAll(() => rig?.close());

  it.for(PROTOCOLS)('$path is answered, streamed and metered', async ({ path, body }, context) => {
    if (rig === null) return context.skip('npm cannot install Portkey’s gateway here');
    const key = await rig.mint({ models: [GPT, CLAUDE] });
    for (const stream of [false, true]) {
      const response = await fetch(`${rig.proxy.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.secret}`, 'content-type': 'application/json', 'x-portkey-provider': 'somebody-else' },
        body: JSON.stringify({
          ...body,
          stream,
          ...(stream && path.endsWith('completions') ? { stream_options: { include_usage: true } } : {}),
        }),
      });
      expect(response.status).toBe(200);
      expect(await response.text()).toContain('Hello from the provider.');
    }
    expect(await rig.usage(key)).toMatchObject({ requests: 2 });
  });
});
