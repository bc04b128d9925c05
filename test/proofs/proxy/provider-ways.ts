import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { streamedAnswer, wholeAnswer, type Stated } from './answers.ts';
import { CREDENTIAL, ORGANIZATION, PROJECT } from './models.ts';

interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
  path: string;
  isStream: boolean;
  parameters: string[];
}

type Way = (exchange: Exchange) => Promise<void> | void;

/** What each plain answer states. */
const PLAIN: Stated = { inputTokens: 100, outputTokens: 10 };
const MB = 1024 * 1024;

/** Headers that name the provider's account, its state or its network. */
export const ACCOUNT_HEADERS: Record<string, string> = {
  'openai-organization': ORGANIZATION,
  'openai-project': PROJECT,
  'anthropic-organization-id': ORGANIZATION,
  'anthropic-workspace-id': 'wrkspc_01AbCdEfGhIjKlMnOpQrStUv',
  'set-cookie': '__cf_bm=abc; path=/; HttpOnly',
  'cf-ray': '9a1b2c3d4e5f6789-FRA',
  location: 'http://127.0.0.1:9/elsewhere',
  'x-echo': CREDENTIAL,
  'x-foo': 'foo',
};

/** How the provider answers, by the name that the body of a request says. */
export const WAYS: Record<string, Way> = {
  plain: (exchange) => answer(exchange, PLAIN),
  usage: (exchange) => answer(exchange, counted(exchange)),
  priority: (exchange) => answer(exchange, { ...counted(exchange), more: { service_tier: 'priority' } }),
  iterations: (exchange) => answer(exchange, { ...PLAIN, usage: { iterations: ITERATIONS } }),
  headers: (exchange) => {
    for (const [name, value] of Object.entries(ACCOUNT_HEADERS)) exchange.res.setHeader(name, value);
    return answer(exchange, PLAIN);
  },
  gzip: ({ res, path }) => {
    const body = gzipSync(JSON.stringify(wholeAnswer(path, { inputTokens: 1_000, outputTokens: 500, text: 'word '.repeat(500) })));
    res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip', 'content-length': body.length }).end(body);
  },
  large: ({ res, path }) => {
    const body = JSON.stringify(wholeAnswer(path, { ...PLAIN, text: 'x'.repeat(40 * MB) }));
    res.writeHead(200, { 'content-type': 'application/json' }).end(body);
  },
  'large-event': (exchange) =>
    answer({ ...exchange, isStream: true }, { inputTokens: 1_000, outputTokens: 500, text: 'x'.repeat(17 * MB) }),
  // The last event has no blank line behind it.
  unended: ({ res, path }) => {
    const { text, usage } = streamedAnswer(path, PLAIN);
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end([...text, ...usage].join('').trimEnd());
  },
  'late-usage': async ({ res, path, isStream, parameters: [ms = '500'] }) => {
    const stated = { inputTokens: 1_000, outputTokens: 900 };
    if (!isStream) {
      await sleep(Number(ms));
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(wholeAnswer(path, stated)));
      return;
    }
    const { text, usage } = streamedAnswer(path, stated);
    res.writeHead(200, { 'content-type': 'text/event-stream' }).write(text.join(''));
    await sleep(Number(ms));
    res.end(usage.join(''));
  },
  endless: async ({ res, path }) => {
    const { text } = streamedAnswer(path, PLAIN);
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    while (!res.destroyed) {
      res.write(text.join(''));
      await sleep(50);
    }
  },
  silent: () => {},
  redirect: ({ res }) => void res.writeHead(307, { location: 'http://127.0.0.1:9/elsewhere' }).end(),
  reset: ({ res, path }) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' }).write(streamedAnswer(path, PLAIN).text.join(''));
    setTimeout(() => res.socket?.resetAndDestroy(), 20);
  },
  // `error.429` and so on: names the account in the headers and in the body, and echoes the credential.
  error: ({ res, path, parameters: [status = '500'] }) => {
    const message = `Rate limit of organization ${ORGANIZATION} in project ${PROJECT}; Incorrect API key: ${CREDENTIAL}.`;
    const error = { type: 'some_error', code: 'some_code', param: null, message, organization: ORGANIZATION, request: CREDENTIAL };
    const body = path.startsWith('/v1/messages') ? { type: 'error', error, request_id: ORGANIZATION } : { error };
    res.writeHead(Number(status), { 'content-type': 'application/json', 'retry-after': '7', ...ACCOUNT_HEADERS }).end(JSON.stringify(body));
  },
  'raw-error': ({ res, parameters: [status = '500'] }) =>
    void res.writeHead(Number(status), { 'content-type': 'text/html' }).end(`<html>${ORGANIZATION} ${PROJECT} ${CREDENTIAL}</html>`),
  'two-lengths': ({ res }) => raw(res, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 20\r\n\r\n{}'),
  'both-lengths': ({ res }) => raw(res, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'),
  split: ({ res }) => raw(res, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil'),
  'no-http': ({ res }) => raw(res, '\u0016\u0003\u0001 this is no HTTP\r\n\r\n'),
};

/** The model's own turn, and an advisor's of another model, which the top level of the usage does not count. */
const ITERATIONS = [
  { type: 'message', input_tokens: 100, output_tokens: 10, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
  {
    type: 'advisor_message',
    model: 'claude-opus-4-6',
    input_tokens: 2_000,
    output_tokens: 500,
    cache_read_input_tokens: 0,
    cache_creation_input_tokens: 0,
  },
];

function counted({ parameters: [input = '100', output = '10'] }: Exchange): Stated {
  return { inputTokens: Number(input), outputTokens: Number(output) };
}

function answer({ res, path, isStream }: Exchange, stated: Stated): void {
  if (!isStream || path.includes('count_tokens')) {
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(wholeAnswer(path, stated)));
    return;
  }
  const { text, usage } = streamedAnswer(path, stated);
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of [...text, ...usage]) res.write(event);
  res.end();
}

function raw(res: ServerResponse, bytes: string): void {
  res.socket?.end(bytes);
}
