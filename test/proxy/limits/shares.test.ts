import { once } from 'node:events';
import { connect } from 'node:net';

import { afterEach, expect, it } from 'vitest';

import type { ProxySettings } from '../../../src/proxy/server/settings.ts';
import { closed, generating, send, startRig, startUpstream, type Rig } from '../rig.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function rigWith(settings: Partial<ProxySettings>): Promise<Rig> {
  const usage = { input_tokens: 1, output_tokens: 1 };
  const upstream = await startUpstream((req, res) => {
    req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ usage })));
  });
  const rig = await startRig(upstream.url, { settings });
  closing.push(upstream.close, rig.close);
  return rig;
}

const body = { ...generating('hello')['/v1/messages'], max_tokens: 10 };

it('requests that a key’s own limit refuses take nothing off the rates of others, and have few rows', async () => {
  const keys = { requestsPerMinute: 5, concurrentRequests: 10, totalConcurrentRequests: 100 };
  const rates = { tenantRequests: 1_000, upstreamRequests: 20, tenantTokens: undefined, upstreamTokens: undefined };
  const rig = await rigWith({ keys, rates });
  const [greedy, honest] = [await rig.mint(), await rig.mint()];
  const statuses: number[] = [];
  for (let sent = 0; sent < 40; sent += 1) statuses.push((await send(rig, greedy.secret, '/v1/messages', body)).status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(5);
  expect(statuses.filter((status) => status === 429)).toHaveLength(35);
  expect((await send(rig, honest.secret, '/v1/messages', body)).status).toBe(200);
  expect((await rig.ended(greedy)).length).toBeLessThanOrEqual(7);
});

it('a tenant at its rate takes nothing off its provider’s', async () => {
  const rates = { tenantRequests: 3, upstreamRequests: 8, tenantTokens: undefined, upstreamTokens: undefined };
  const rig = await rigWith({ rates });
  const key = await rig.mint();
  const statuses: number[] = [];
  for (let sent = 0; sent < 20; sent += 1) statuses.push((await send(rig, key.secret, '/v1/messages', body)).status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(3);
  const left = await rig.database.pool.query<{ s: number }>(
    `select extract(epoch from full_at - now())::float8 as s from rate_buckets where scope = 'upstream anthropic'`,
  );
  // Three of eight in a minute.
  expect(left.rows[0]?.s ?? 0).toBeLessThan(23);
});

it('a body takes the memory that it fills, not what its headers state', async () => {
  const rig = await rigWith({ bodies: { totalBytes: 48 * 1024 * 1024, bytesPerKey: 48 * 1024 * 1024 } });
  const { hostname, port } = new URL(rig.proxy.url);
  const [greedy, honest] = [await rig.mint(), await rig.mint()];
  const sockets = Array.from({ length: 8 }, () => connect(Number(port), hostname));
  for (const socket of sockets) {
    await once(socket, 'connect');
    socket.write(`POST /v1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${greedy.secret}\r\ncontent-length: 33554432\r\n\r\n{`);
  }
  expect((await send(rig, honest.secret, '/v1/messages', body)).status).toBe(200);
  for (const socket of sockets) socket.destroy();
});

it('a connection with too many requests that are not answered is closed', async () => {
  const rig = await rigWith({});
  const { hostname, port } = new URL(rig.proxy.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.resume();
  socket.write('POST /v1/responses HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n'.repeat(1_000));
  await closed(socket);
  expect(socket.bytesRead).toBeLessThan(64 * 1024);
});

it('connections without a good key make room for one that comes with it', async () => {
  const connections = { maxConnections: 16, maxConnectionsPerAddress: 1_000, requestTimeoutMs: 60_000 };
  const rig = await rigWith({ connections });
  const { hostname, port } = new URL(rig.proxy.url);
  const sockets = Array.from({ length: 16 }, () => connect(Number(port), hostname));
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'connect');
    for (let sent = 0; sent < 3; sent += 1) socket.write('POST /v1/responses HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n'.repeat(8));
  }
  const key = await rig.mint();
  for (let asked = 0; asked < 5; asked += 1) expect((await send(rig, key.secret, '/v1/messages', body)).status).toBe(200);
  for (const socket of sockets) socket.destroy();
});
