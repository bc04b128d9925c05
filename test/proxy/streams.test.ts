import { once } from 'node:events';
import type { RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { roundUsd } from '../../src/contract/money.ts';
import { lastFailure, suspendKey } from '../../src/store/request-records.ts';
import {
  begin,
  CLAUDE,
  closed,
  generating,
  GPT,
  head,
  jobOf,
  send,
  startRig,
  startUpstream,
  until,
  type Rig,
  type Upstream,
} from './rig.ts';

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function rigOn(listener: RequestListener, options: { idleTimeoutMs?: number } = {}): Promise<Rig & { upstream: Upstream }> {
  const upstream = await startUpstream(listener);
  closing.push(upstream.close);
  const rig = await startRig(upstream.url, options);
  closing.push(rig.close);
  return { ...rig, upstream };
}

const usage = { input_tokens: 1_000, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 };
const started = { type: 'message_start', message: { model: CLAUDE, usage } };
const delta = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(400) } };
const event = (data: { type: string; [field: string]: unknown }): string => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

function startStream(res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  res.write(event(started) + event(delta));
}

const body = { ...generating('hello')['/v1/messages'], stream: true };
/** What was begun: the input as stated, 100 tokens of output as seen, at 3 and 15 USD a million. */
const BEGUN_USD = (1_000 * 3 + 100 * 15) / 1e6;

describe('a caller who hangs up', () => {
  it('before the headers stops the provider, and pays what was reserved', async () => {
    const rig = await rigOn(() => {});
    const key = await rig.mint();
    const arrived = rig.upstream.next();
    const req = begin(rig, key, '/v1/messages', body);
    const { socket } = await arrived;
    req.destroy();
    await closed(socket);
    expect(await rig.ended(key)).toMatchObject([
      // Its bytes and what providers add as input, at the price of the longest cache, and all of the output that it may have.
      { status: 499, code: 'cancelled', usd: roundUsd(((JSON.stringify(body).length + 4096) * 6 + 100 * 15) / 1e6) },
    ]);
  });

  it.each<[string, RequestListener, object]>([
    ['in mid-stream pays for what it saw', (_req, res) => startStream(res), { status: 200, code: 'cancelled', usd: BEGUN_USD }],
    [
      'when it sees a failure leaves that as the reason',
      (_req, res) => res.writeHead(403, { 'content-length': 100 }).write('{'),
      { status: 403, code: 'llm_forbidden', usd: 0 },
    ],
  ])('%s, and stops the provider', async (_what, answer, record) => {
    const rig = await rigOn(answer);
    const key = await rig.mint();
    const arrived = rig.upstream.next();
    const req = begin(rig, key, '/v1/messages', body);
    await Promise.race([head(req).then((res) => once(res, 'data')), sleep(300)]);
    req.destroy();
    await closed((await arrived).socket);
    expect(await rig.ended(key)).toEqual([{ protocol: 'anthropic-messages', ...record }]);
  });

  it('just before the answer is complete has had a success: the provider’s final usage is charged', async () => {
    const rig = await rigOn((_req, res) => {
      startStream(res);
      const end = { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 200 } };
      setTimeout(() => res.end(event(end) + event({ type: 'message_stop' })), 200);
    });
    const key = await rig.mint();
    const req = begin(rig, key, '/v1/messages', body);
    await once(await head(req), 'data');
    req.destroy();
    const usd = (1_000 * 3 + 200 * 15) / 1e6;
    expect(await rig.ended(key)).toEqual([{ protocol: 'anthropic-messages', status: 200, code: null, usd }]);
  });

  it('does not end the process, whatever the moment', async () => {
    const rig = await rigOn((_req, res) => {
      startStream(res);
      setTimeout(() => res.end(event({ type: 'message_stop' })), 5);
    });
    const key = await rig.mint({ budgetUsd: 1_000 });
    for (let delayMs = 0; delayMs < 20; delayMs += 1) {
      const req = begin(rig, key, '/v1/messages', body);
      setTimeout(() => req.destroy(), delayMs);
      await closed(req);
    }
    expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
    await rig.ended(key);
  });
});

it('a provider that dies in mid-stream breaks the answer, and what was seen is charged', async () => {
  const rig = await rigOn((_req, res) => {
    startStream(res);
    setTimeout(() => res.destroy(), 10);
  });
  const key = await rig.mint();
  await expect(send(rig, key.secret, '/v1/messages', body)).rejects.toThrow('terminated');
  expect(await rig.ended(key)).toEqual([{ protocol: 'anthropic-messages', status: 200, code: 'llm_failed', usd: BEGUN_USD }]);
});

it.each([
  ['at once, as an idle one does, costs nothing', 0, 0],
  ['later is charged what was reserved', 300, roundUsd(((JSON.stringify(body).length + 4096) * 6 + 100 * 15) / 1e6)],
])('a provider’s connection that breaks before an answer, %s', async (_what, afterMs, usd) => {
  const rig = await rigOn((req) => setTimeout(() => req.socket.destroy(), afterMs));
  const key = await rig.mint();
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(502);
  expect(await rig.ended(key)).toMatchObject([{ status: 502, code: 'llm_failed', usd }]);
});

it.each([
  ['/v1/messages', 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n', 'llm_failed'],
  ['/v1/messages', 'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"busy"}}\n\n', 'llm_rate_limited'],
  ['/v1/responses', 'data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}\n\n', 'llm_rate_limited'],
  ['/v1/responses', 'data: {"type":"error","code":"server_error"}\n\n', 'llm_failed'],
  ['/v1/chat/completions', 'data: {"error":{"code":"insufficient_quota"}}\n\ndata: [DONE]\n\n', 'llm_payment_required'],
  ['/v1/messages', 'data: {"type":"ping"}\n\n', 'llm_failed'],
  ['/v1/messages', 'data: {malformed\n\n: \n\n\uFFFF', 'llm_failed'],
])('an answer of %s that begins well and says %s is passed on whole and is a failure', async (path, stream, code) => {
  const rig = await rigOn((_req, res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream));
  const key = await rig.mint();
  expect(await send(rig, key.secret, path, { ...generating('hello')[path], stream: true })).toMatchObject({ status: 200, text: stream });
  expect(await rig.ended(key)).toMatchObject([{ status: 200, code }]);
});

it('an account’s id is masked in an error that comes in pieces, and nothing else of the stream changes', async () => {
  const pieces = [
    event(started),
    'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error",',
    '"message":"in organization org-abcdef123456"}}\n\n',
  ];
  const rig = await rigOn((_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const [index, piece] of pieces.entries()) setTimeout(() => res.write(piece), index * 50);
    setTimeout(() => res.end(), pieces.length * 50);
  });
  const key = await rig.mint();
  const answer = await send(rig, key.secret, '/v1/messages', body);
  expect(answer.text).toBe(pieces.join('').replace('org-abcdef123456', '[hidden]'));
  expect(await rig.ended(key)).toMatchObject([{ code: 'llm_rate_limited' }]);
});

describe('a provider that is silent', () => {
  it('before the headers is given up with 504', async () => {
    const rig = await rigOn(() => {}, { idleTimeoutMs: 100 });
    const key = await rig.mint();
    const arrived = rig.upstream.next();
    const answer = await send(rig, key.secret, '/v1/messages', body);
    expect(answer.status).toBe(504);
    expect(answer.text).toContain('timeout_error');
    await closed((await arrived).socket);
    expect(await rig.ended(key)).toMatchObject([{ status: 504, code: 'llm_timeout' }]);
  });

  it('in mid-stream is given up, and the answer breaks', async () => {
    const rig = await rigOn((_req, res) => startStream(res), { idleTimeoutMs: 100 });
    const key = await rig.mint();
    await expect(send(rig, key.secret, '/v1/messages', body)).rejects.toThrow('terminated');
    expect(await rig.ended(key)).toMatchObject([{ status: 200, code: 'llm_timeout', usd: BEGUN_USD }]);
  });

  it('is not given up while bytes keep coming', async () => {
    const rig = await rigOn(
      (_req, res) => {
        startStream(res);
        const timer = setInterval(() => res.write(': still here\n\n'), 50);
        setTimeout(() => {
          clearInterval(timer);
          res.end(event({ type: 'message_stop' }));
        }, 600);
      },
      { idleTimeoutMs: 400 },
    );
    const key = await rig.mint();
    expect((await send(rig, key.secret, '/v1/messages', body)).text).toContain('message_stop');
  });
});

it('a key that is disabled during its stream is cut off at once', async () => {
  const rig = await rigOn((_req, res) => startStream(res));
  const key = await rig.mint();
  const arrived = rig.upstream.next();
  const res = await head(begin(rig, key, '/v1/messages', body));
  await once(res, 'data');
  await rig.disable(key);
  await expect(text(res)).rejects.toThrow('aborted');
  await closed((await arrived).socket);
  expect(await rig.ended(key)).toMatchObject([{ status: 200, code: 'key_refused', usd: BEGUN_USD }]);
  expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(401);
});

it('a key that is suspended during its stream is cut off at once', async () => {
  const rig = await rigOn((_req, res) => startStream(res));
  const key = await rig.mint();
  const res = await head(begin(rig, key, '/v1/messages', body));
  await once(res, 'data');
  await suspendKey(rig.database.db, key.ref);
  await expect(text(res)).rejects.toThrow('aborted');
  expect(await rig.ended(key)).toMatchObject([{ status: 200, code: 'key_refused', usd: BEGUN_USD }]);
});

it('an answer is paid for when its stream says that it is complete, though the provider keeps the connection', async () => {
  const rig = await rigOn((_req, res) => {
    startStream(res);
    res.write(event({ type: 'message_delta', usage: { output_tokens: 200 } }));
    res.write(event({ type: 'message_stop' }));
  });
  const key = await rig.mint();
  await once(await head(begin(rig, key, '/v1/messages', body)), 'data');
  expect(await rig.usage(key)).toEqual({ inputTokens: 1_000, outputTokens: 200, requests: 1, usd: 0.006 });
});

it('the reason of a failure in mid-stream is on record when the caller sees the event that tells of it', async () => {
  const rig = await rigOn((_req, res) => {
    startStream(res);
    res.write(event({ type: 'error', error: { type: 'overloaded_error', message: 'busy' } }));
  });
  const key = await rig.mint();
  let seen = '';
  for await (const chunk of await head(begin(rig, key, '/v1/messages', body))) {
    seen += String(chunk);
    if (seen.includes('overloaded_error')) break;
  }
  expect(await lastFailure(rig.database.db, jobOf(key))).toBe('llm_failed');
});

it('closing ends what is open and puts it on record', async () => {
  const rig = await rigOn((_req, res) => startStream(res));
  const key = await rig.mint();
  const res = await head(begin(rig, key, '/v1/messages', body));
  await once(res, 'data');
  await Promise.all([rig.proxy.close(), expect(text(res)).rejects.toThrow('aborted')]);
  expect(await rig.ended(key)).toMatchObject([{ code: 'gateway_unreachable', usd: BEGUN_USD }]);
});

describe('bytes', () => {
  const odd = `{"model" : "${GPT}",\n "metadata": {"big": 12345678901234567890}, "temperature": 1e2, "user":"\\u00e9 é 🙂",`;
  const set = '"store":false,"service_tier":"default",';

  it.each([
    ['/v1/responses', `${odd} "stream":true}`, `{${set}${odd.slice(1)} "stream":true}`],
    [
      '/v1/responses',
      `${odd} "service_tier":null, "store": true , "stream":false}`,
      `${odd} "service_tier":"default", "store": false , "stream":false}`,
    ],
    ['/v1/chat/completions', `${odd} "stream":false}`, `{${set}${odd.slice(1)} "stream":false}`],
    [
      '/v1/chat/completions',
      `${odd} "stream":true,"stream_options": [[[]]] }`,
      `{${set}${odd.slice(1)} "stream":true,"stream_options": {"include_usage":true} }`,
    ],
    [
      '/v1/chat/completions',
      `${odd} "stream":true}`,
      `{"store":false,"service_tier":"default","stream_options":{"include_usage":true},${odd.slice(1)} "stream":true}`,
    ],
  ])('of a request to %s reach the provider unchanged, but for the fields that the gateway sets: %s', async (path, sent, expected) => {
    let got = '';
    let headers = {};
    const rig = await rigOn((req, res) => {
      headers = req.headers;
      req.on('data', (chunk: Buffer) => (got += chunk.toString()));
      req.on('end', () => res.end('{}'));
    });
    const { secret } = await rig.mint();
    await send(rig, secret, path, sent, { 'x-of-the-caller': 'dropped', 'x-stainless-lang': 'kept', cookie: 'dropped' });
    expect(got).toBe(expected);
    expect(headers).toMatchObject({
      authorization: 'Bearer upstream-credential-for-tests',
      'x-stainless-lang': 'kept',
      'accept-encoding': 'identity',
    });
    expect(headers).not.toHaveProperty('cookie');
    expect(headers).not.toHaveProperty('x-of-the-caller');
    expect(JSON.stringify(headers)).not.toContain(secret);
  });

  it('of an answer reach the caller unchanged and as they come', async () => {
    let answer: ServerResponse | undefined;
    const rig = await rigOn((_req, res) => {
      answer = res.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': 'req_1' });
      res.flushHeaders();
    });
    const key = await rig.mint();
    const req = begin(rig, key, '/v1/messages', body);
    await until(() => answer !== undefined);
    // What comes before the model's first word is held.
    answer?.write(event(started) + event(delta));
    const res = await head(req);
    expect(res.headers['request-id']).toBe('req_1');
    const arriving = res[Symbol.asyncIterator]();
    expect(String((await arriving.next()).value)).toBe(event(started) + event(delta));
    const parts = [Buffer.from(event(delta).slice(0, 30)), Buffer.from([0xc3]), Buffer.from([0xa9, 0x0d, 0x0a]), Buffer.from(event(delta))];
    for (const part of parts) {
      answer?.write(part);
      expect((await arriving.next()).value).toEqual(part);
    }
    answer?.end();
    expect((await arriving.next()).done).toBe(true);
  });

  it('of a slow caller are not piled up', async () => {
    let written = 0;
    const rig = await rigOn((_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      const chunk = Buffer.alloc(64 * 1024, ': \n');
      const fill = (): void => {
        while (written < 64 * 1024 * 1024 && res.write(chunk)) written += chunk.length;
      };
      res.on('drain', fill);
      fill();
    });
    const key = await rig.mint();
    const req = begin(rig, key, '/v1/messages', body);
    await head(req);
    let before = -1;
    await until(async () => {
      if (before === written) return true;
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return false;
    });
    expect(written).toBeLessThan(32 * 1024 * 1024);
    req.destroy();
    await rig.ended(key);
  });
});
