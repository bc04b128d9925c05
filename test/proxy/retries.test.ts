import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

import { afterEach, describe, expect, it } from 'vitest';

import { roundUsd } from '../../src/contract/money.ts';
import type { ProxySettings } from '../../src/proxy/server/settings.ts';
import { begin, CLAUDE, closed, generating, GPT, send, startRig, startUpstream, until, type Rig, type Upstream } from './rig.ts';

// A provider's bad second does not reach the agent: what fails before a byte of an answer has passed is tried again.

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

type Listener = (req: IncomingMessage, res: ServerResponse, number: number) => void;

async function rigOn(
  listener: Listener,
  { idleTimeoutMs, settings }: { idleTimeoutMs?: number; settings?: Partial<ProxySettings> } = {},
): Promise<Rig & { upstream: Upstream; asked: () => number; bodies: string[] }> {
  let asked = 0;
  const bodies: string[] = [];
  const serve: RequestListener = (req, res) => {
    const number = (asked += 1);
    let body = '';
    req.on('data', (chunk: Buffer) => (body += chunk.toString()));
    req.on('end', () => {
      bodies.push(body);
      listener(req, res, number);
    });
  };
  const upstream = await startUpstream(serve);
  closing.push(upstream.close);
  const rig = await startRig(upstream.url, {
    settings: { maxTries: 5, ...settings },
    ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
  });
  closing.push(rig.close);
  return { ...rig, upstream, asked: () => asked, bodies };
}

const usage = { input_tokens: 1_000, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 10 };
const good = { model: CLAUDE, usage, type: 'message' };
const GOOD_USD = (1_000 * 3 + 10 * 15) / 1e6;
const body = generating('hello')['/v1/messages'] ?? {};
const RESERVED_USD = ((JSON.stringify(body).length + 4096) * 6 + 100 * 15) / 1e6;
const event = (data: { type: string; [field: string]: unknown }): string => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const started = event({ type: 'message_start', message: { model: CLAUDE, usage: { ...usage, output_tokens: 1 } } });
const ping = event({ type: 'ping' });
const overloaded = event({ type: 'error', error: { type: 'overloaded_error', message: 'busy' } });
const answerWell = (res: ServerResponse): unknown => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(good));
/** A failure whose provider asks to be tried again at once. */
const SOON = { 'content-type': 'application/json', 'retry-after-ms': '10' };
const failure = JSON.stringify({ type: 'error', error: { type: 'overloaded_error', message: 'busy' } });
const stream = { 'content-type': 'text/event-stream', 'retry-after-ms': '10' };

describe('a request whose first try', () => {
  it.each<[string, Listener]>([
    ...[429, 500, 502, 503, 504, 529].map((status): [string, Listener] => [
      `is answered ${status}`,
      (_req, res) => res.writeHead(status, SOON).end(failure),
    ]),
    ['meets a connection that breaks', (req) => req.socket.destroy()],
    ['is answered by a stream that fails at once', (_req, res) => res.writeHead(200, stream).end(overloaded)],
    ['is answered by a stream that fails after a ping', (_req, res) => res.writeHead(200, stream).end(ping + overloaded)],
    ['is answered 200 with an error', (_req, res) => res.writeHead(200, SOON).end(failure)],
  ])('%s is sent again whole, and is one request that is charged once', async (_what, fail) => {
    const rig = await rigOn((req, res, number) => (number === 1 ? fail(req, res, number) : answerWell(res)));
    const key = await rig.mint();
    const answer = await send(rig, key.secret, '/v1/messages', body);
    expect(answer).toMatchObject({ status: 200, text: JSON.stringify(good) });
    expect(rig.bodies).toEqual([JSON.stringify(body), JSON.stringify(body)]);
    expect(await rig.ended(key)).toEqual([{ protocol: 'anthropic-messages', status: 200, code: null, usd: GOOD_USD }]);
    expect(await rig.tries(key)).toEqual([2]);
    expect(await rig.usage(key)).toMatchObject({ requests: 1, usd: GOOD_USD });
  });

  it('meets a stream of another protocol that fails after its preamble is sent again', async () => {
    const created = event({ type: 'response.created', response: { id: 'resp_1' } });
    const failed = event({ type: 'response.failed', response: { error: { code: 'server_error' } } });
    const done = event({ type: 'response.completed', response: { model: GPT, usage: { input_tokens: 10, output_tokens: 1 } } });
    const rig = await rigOn((_req, res, number) => res.writeHead(200, stream).end(created + (number === 1 ? failed : done)));
    const key = await rig.mint();
    const answer = await send(rig, key.secret, '/v1/responses', { ...generating('hello')['/v1/responses'], stream: true });
    expect(answer.text).toBe(created + done);
    expect(await rig.tries(key)).toEqual([2]);
  });

  it('broke when it may have been generating is charged beside the second', async () => {
    const rig = await rigOn((req, res, number) => (number === 1 ? setTimeout(() => req.socket.destroy(), 300) : answerWell(res)));
    const key = await rig.mint();
    expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
    expect(await rig.ended(key)).toMatchObject([{ code: null, usd: roundUsd(RESERVED_USD + GOOD_USD) }]);
    expect(await rig.tries(key)).toEqual([2]);
  });

  it('stated the usage of its input before it failed is charged for that beside the second', async () => {
    const rig = await rigOn((_req, res, number) => (number === 1 ? res.writeHead(200, stream).end(started + overloaded) : answerWell(res)));
    const key = await rig.mint();
    expect((await send(rig, key.secret, '/v1/messages', { ...body, stream: true })).status).toBe(200);
    expect(await rig.ended(key)).toMatchObject([{ code: null, usd: roundUsd((1_000 * 3 + 15) / 1e6 + GOOD_USD) }]);
  });

  it('may have been billed is not sent again where the budget does not hold both', async () => {
    const rig = await rigOn((req, res, number) => (number === 1 ? setTimeout(() => req.socket.destroy(), 300) : answerWell(res)));
    const key = await rig.mint({ budgetUsd: RESERVED_USD * 1.5 });
    expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(502);
    expect(rig.asked()).toBe(1);
    expect(await rig.ended(key)).toMatchObject([{ code: 'llm_failed', usd: roundUsd(RESERVED_USD) }]);
  });
});

describe('a request is not sent again', () => {
  it.each<[string, number, Record<string, string>, string, string]>([
    ['that is rejected', 400, SOON, failure, 'llm_rejected'],
    ['when the provider asks for more time than it may take', 429, { 'retry-after': '60' }, failure, 'llm_rate_limited'],
    [
      'when the provider names a date that is too late',
      503,
      { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() },
      failure,
      'llm_failed',
    ],
    ['when the provider says so', 503, { 'x-should-retry': 'false' }, failure, 'llm_failed'],
    ['whose account has no credit', 429, SOON, '{"error":{"code":"insufficient_quota","message":"none"}}', 'llm_rate_limited'],
  ])('%s', async (_what, status, headers, text, code) => {
    const rig = await rigOn((_req, res) => res.writeHead(status, headers).end(text));
    const key = await rig.mint();
    const answer = await send(rig, key.secret, '/v1/messages', body);
    expect(answer.status).toBe(status);
    expect(rig.asked()).toBe(1);
    expect(await rig.ended(key)).toMatchObject([{ status, code, usd: 0 }]);
  });

  it('once the model’s first word has passed', async () => {
    const delta = event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'well' } });
    const rig = await rigOn((_req, res) => {
      res.writeHead(200, stream).write(started + delta);
      setTimeout(() => res.end(overloaded), 200);
    });
    const key = await rig.mint();
    const answer = await send(rig, key.secret, '/v1/messages', { ...body, stream: true });
    expect(answer.text).toBe(started + delta + overloaded);
    expect(rig.asked()).toBe(1);
  });

  it('more often than it may: the caller gets the last failure, and is asked to leave it at that', async () => {
    const rig = await rigOn((_req, res) => res.writeHead(529, SOON).end(failure));
    const key = await rig.mint();
    const answer = await send(rig, key.secret, '/v1/messages', body);
    expect(answer.status).toBe(529);
    expect(answer.text).toContain('overloaded_error');
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(rig.asked()).toBe(5);
    expect(await rig.ended(key)).toMatchObject([{ status: 529, code: 'llm_failed', usd: 0 }]);
    expect(await rig.tries(key)).toEqual([5]);
  });

  it('by many at a provider that is down, whatever each of them may', async () => {
    const rig = await rigOn((_req, res) => res.writeHead(503, { ...SOON, 'retry-after-ms': '0' }).end(failure));
    const key = await rig.mint({ budgetUsd: 1_000 });
    const requests = 60;
    const answers = await Promise.all(Array.from({ length: requests }, () => send(rig, key.secret, '/v1/messages', body)));
    expect(answers.every(({ status }) => status === 503)).toBe(true);
    expect(rig.asked()).toBeGreaterThan(requests);
    // Fifty to begin with, a fifth of the requests, and what some seconds add.
    expect(rig.asked()).toBeLessThan(requests + 100);
  });
});

describe('while a request waits for its next try', () => {
  const later = { 'content-type': 'application/json', 'retry-after': '15' };

  it('its caller can leave, and pays nothing', async () => {
    const rig = await rigOn((_req, res) => res.writeHead(503, later).end(failure));
    const key = await rig.mint();
    const req = begin(rig, key, '/v1/messages', body);
    await until(() => rig.asked() === 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    req.destroy();
    await closed(req);
    expect(await rig.ended(key)).toMatchObject([{ status: 499, code: 'cancelled', usd: 0 }]);
    expect(rig.asked()).toBe(1);
  });

  it('its key can end, and its caller is refused at once', async () => {
    const rig = await rigOn((_req, res) => res.writeHead(503, later).end(failure));
    const key = await rig.mint();
    const answering = send(rig, key.secret, '/v1/messages', body);
    await until(() => rig.asked() === 1);
    await rig.disable(key);
    expect((await answering).status).toBe(401);
    expect(await rig.ended(key)).toMatchObject([{ code: 'key_refused', usd: 0 }]);
    expect(rig.asked()).toBe(1);
  });

  it('the gateway can end', async () => {
    const rig = await rigOn((_req, res) => res.writeHead(503, later).end(failure));
    const key = await rig.mint();
    const answering = send(rig, key.secret, '/v1/messages', body);
    await until(() => rig.asked() === 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await rig.proxy.close();
    expect((await answering).status).toBe(503);
    expect(await rig.ended(key)).toMatchObject([{ code: 'gateway_unreachable', usd: 0 }]);
  });
});

it('a try has the whole idle time to itself, however long the one before took to fail', async () => {
  const rig = await rigOn(
    (_req, res, number) => setTimeout(() => (number === 1 ? res.writeHead(529, SOON).end(failure) : answerWell(res)), 600),
    { idleTimeoutMs: 1_000 },
  );
  const key = await rig.mint();
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
  expect(rig.asked()).toBe(2);
});

it('a provider that cannot be reached for a moment is reached', async () => {
  const upstream = await startUpstream((_req, res) => answerWell(res));
  const port = Number(new URL(upstream.url).port);
  await upstream.close();
  const rig = await startRig(upstream.url, { settings: { maxTries: 5 } });
  closing.push(rig.close);
  const key = await rig.mint();
  const answering = send(rig, key.secret, '/v1/messages', body);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { createServer } = await import('node:http');
  const back = createServer((req, res) => {
    req.resume();
    req.on('end', () => answerWell(res));
  }).listen(port, '127.0.0.1');
  await once(back, 'listening');
  closing.push(async () => {
    back.close();
    back.closeAllConnections();
    await once(back, 'close');
  });
  expect((await answering).status).toBe(200);
  expect(await rig.ended(key)).toMatchObject([{ code: null, usd: GOOD_USD }]);
});

it('an answer of 200 that tells of a failure is masked', async () => {
  const text = JSON.stringify({
    status: 'failed',
    error: { code: 'invalid_prompt', message: 'organization org-abcdef123456 is at fault' },
  });
  const rig = await rigOn((_req, res) => res.writeHead(200, { 'content-length': text.length }).end(text));
  const key = await rig.mint();
  const answer = await send(rig, key.secret, '/v1/responses', generating('hello')['/v1/responses']);
  expect(answer.text).toBe(text.replace('org-abcdef123456', '[hidden]'));
  expect(await rig.ended(key)).toMatchObject([{ status: 200, code: 'llm_rejected' }]);
});
