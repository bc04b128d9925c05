// What answers in place of a gateway must not pass for it: a key would count as deleted that is there.
import { createServer, type Server } from 'node:http';

import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';

import { AdminHttp, bearer } from '../../src/gateways/admin-http.ts';
import { listenOnPort } from '../../src/proxy/server/listen.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { NO_PROXIES } from '../helpers/no-proxies.ts';

const MIB = 1024 * 1024;
let server: Server;
let answer: { status: number; body: string; headers?: Record<string, string> };
let api: AdminHttp;

beforeEach(async () => {
  server = createServer((_req, res) => res.writeHead(answer.status, answer.headers).end(answer.body));
  const baseUrl = await listenOnPort(server, '127.0.0.1', 0);
  api = new AdminHttp({ title: 'Some Gateway', baseUrl, auth: bearer(new Secret('of-an-admin')), outbound: NO_PROXIES });
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

const ask = async (): Promise<unknown> => api.request('GET', '/keys/1', z.object({ id: z.string() }));

test('an object that is there is read, and one that is not is null', async () => {
  answer = { status: 200, body: '{"id":"1"}' };
  expect(await ask()).toMatchObject({ value: { id: '1' } });
  answer = { status: 404, body: '{"error":"no such key"}' };
  expect(await ask()).toBeNull();
});

test.each([
  ['404 with a web page', 404, '<html>Not found</html>', 'gateway_refused'],
  ['404 with nothing, as of a balancer without a route', 404, '', 'gateway_refused'],
  ['401', 401, '{}', 'gateway_refused'],
  ['a redirect', 302, '', 'gateway_unreachable'],
  ['429', 429, '{}', 'gateway_unreachable'],
  ['503', 503, '{}', 'gateway_unreachable'],
  ['200 with a web page', 200, '<html>Log in</html>', 'gateway_unreachable'],
  ['200 with another object', 200, '{"key":"sk-of-somebody"}', 'gateway_unreachable'],
  ['200 with more than any answer has', 200, `{"id":"${'1'.repeat(5 * MIB)}"}`, 'gateway_unreachable'],
])('%s is a failure, which quotes nothing', async (_what, status, body, code) => {
  answer = { status, body, headers: { location: 'http://127.0.0.1:1/' } };
  const failure: unknown = await ask().catch((error: unknown) => error);
  expect(failure).toMatchObject({ code });
  expect(JSON.stringify(failure) + String(failure)).not.toMatch(/of-somebody|of-an-admin|html/);
});
