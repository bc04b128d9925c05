/** The egress proxy by itself: a program inside may write any bytes to its socket. */
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { readClientHello } from '../../../src/sandboxes/egress/client-hello.ts';
import { certificateFor } from './certificate.ts';
import { listening, startEgress, type EgressRig } from './rig.ts';

const seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];
const web = createHttpServer((request, response) => {
  void text(request).then((body) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
    if (request.url === '/big') return void response.end(Buffer.alloc(3 * 1024 * 1024));
    response.setHeader('keep-alive', 'timeout=9').end('the answer');
  });
});
let port: number;
let rig: EgressRig;

beforeAll(async () => {
  port = await listening(web);
  rig = await startEgress(
    { hosts: [`web.test:${port}`, '*.names.test', 'rebind.test', 'mixed.test'] },
    {
      privateHosts: new Map([[`web.test:${port}`, '127.0.0.1']]),
      lookup: (host) => Promise.resolve(ADDRESSES[host] ?? []),
    },
  );
});
afterAll(async () => {
  await rig.close();
  web.closeAllConnections();
  web.close();
});

const ADDRESSES: Record<string, string[]> = {
  'loopback.names.test': ['127.0.0.1'],
  'v6.names.test': ['::1'],
  'mapped.names.test': ['::ffff:127.0.0.1'],
  'nat64.names.test': ['64:ff9b::7f00:1'],
  'metadata.names.test': ['169.254.169.254', 'fd00:ec2::254'],
  'lan.names.test': ['100.64.0.1', 'fe80::1', 'fd00::1'],
};

test('a request in absolute form reaches its host unchanged, and its response comes back, both without hop-by-hop headers', async () => {
  const answer = await rig.send(
    `POST http://web.test:${port}/a/../b?c=%2e HTTP/1.1\r\nHost: web.test:${port}\r\nConnection: close, x-mine\r\nX-Mine: 1\r\nX-Kept: 2\r\n` +
      'Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTE: trailers\r\nContent-Length: 5\r\n\r\nhello',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(answer).toContain('the answer');
  expect(answer).not.toMatch(/timeout=9/);
  const { method, url, headers, body } = seen.at(-1) ?? {};
  expect({ method, url, headers, body }).toEqual({
    method: 'POST',
    url: '/a/../b?c=%2e',
    headers: { host: `web.test:${port}`, 'x-kept': '2', 'content-length': '5', connection: 'close' },
    body: 'hello',
  });
});

test.each([
  ['a control character in its status', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok'],
  ['a status that is none', 'HTTP/1.1 012 No\r\nContent-Length: 2\r\n\r\nok'],
  ['no HTTP at all', '\x00\x01\x02\r\n\r\n'],
  ['half of an answer', 'HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nhalf'],
  ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ['nothing', ''],
])('a host that answers with %s does not stop the proxy', async (_what, bytes) => {
  const server = createServer((socket) => socket.once('data', () => socket.end(bytes)).on('error', () => {}));
  const at = await listening(server);
  const other = await startEgress({ hosts: [`bad.test:${at}`] }, { privateHosts: new Map([[`bad.test:${at}`, '127.0.0.1']]) });
  const get = `GET http://bad.test:${at}/ HTTP/1.1\r\nHost: bad.test:${at}\r\nConnection: close\r\n\r\n`;
  for (const answer of [await other.send(get).catch(() => ''), await other.send(get).catch(() => '')]) {
    expect(answer).not.toMatch(/^HTTP\/1\.1 (101|012)/);
    expect(answer).not.toContain('\x01');
  }
  await other.close();
  server.close();
});

const postHead = (more: string): string =>
  `POST http://web.test:${port}/c HTTP/1.1\r\nHost: web.test:${port}\r\nConnection: close\r\n${more}\r\n`;

test('a chunked body and a body-less POST arrive framed', async () => {
  await rig.send(`${postHead('Transfer-Encoding: chunked\r\n')}3\r\nabc\r\n0\r\n\r\n`);
  expect(seen.at(-1)).toMatchObject({ body: 'abc', headers: { 'transfer-encoding': 'chunked' } });
  await rig.send(postHead(''));
  expect(seen.at(-1)).toMatchObject({ body: '', headers: { 'content-length': '0' } });
});

test.each<[string, (host: string) => string]>([
  ['two hosts', (host) => `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nHost: evil.test\r\n\r\n`],
  ['a Host that is another', (host) => `GET http://${host}/ HTTP/1.1\r\nHost: evil.test\r\n\r\n`],
  ['no Host', (host) => `GET http://${host}/ HTTP/1.1\r\n\r\n`],
  [
    'a length and chunks',
    (host) => `POST http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ['two lengths', (host) => `POST http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`],
  ['chunks twice', (host) => `POST http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
  ['chunks of HTTP/1.0', (host) => `POST http://${host}/ HTTP/1.0\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a user', (host) => `GET http://web.test@${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
  ['a backslash', (host) => `GET http://${host}\\@evil.test/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
  ['origin form', (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
  ['https in absolute form', (host) => `GET https://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`],
  ['a bare line feed in a header', (host) => `GET http://${host}/ HTTP/1.1\nHost: ${host}\nX: 1\n\n`],
])('a request with %s is not forwarded', async (_what, requestOf) => {
  const before = seen.length;
  const answer = await rig.send(requestOf(`web.test:${port}`));
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(seen.length).toBe(before);
});

test.each([
  ['127.0.0.1:80', 400],
  ['[::1]:80', 400],
  ['localhost:80', 400],
  ['2130706433:80', 400],
  ['web.test:22', 403],
  ['evil.test:443', 403],
  ['names.test:443', 403],
  ['loopback.names.test:443', 403],
  ['v6.names.test:443', 403],
  ['mapped.names.test:443', 403],
  ['nat64.names.test:443', 403],
  ['metadata.names.test:80', 403],
  ['lan.names.test:443', 403],
  ['nothing.names.test:443', 502],
])('CONNECT %s is refused with %i, and nothing is connected to', async (target, status) => {
  await expect(rig.tunnel(target)).rejects.toThrow(`HTTP/1.1 ${status} `);
});

test('a name that is public when it is checked and private a moment later leads to the address that was checked', async () => {
  const answers = [['203.0.114.1'], ['127.0.0.1']];
  let asked = 0;
  const other = await startEgress({ hosts: ['rebind.test:9'] }, { lookup: () => Promise.resolve(answers[asked++] ?? []) });
  const target = createServer((socket) => socket.end('private'));
  await listening(target);
  // Nothing listens at the first; the second would be found by a look-up at the time of the connection.
  const outcome = await Promise.race([
    other.tunnel('rebind.test:9').catch(String),
    new Promise((resolve) => setTimeout(resolve, 1500, 'waits')),
  ]);
  expect(asked).toBe(1);
  expect(String(outcome)).not.toContain('200');
  target.close();
  await other.close();
});

test('private addresses of a name are left out', async () => {
  const other = await startEgress({ hosts: ['mixed.test'] }, { lookup: () => Promise.resolve(['127.0.0.1', '::1', '100.64.0.1']) });
  await expect(other.tunnel('mixed.test:443')).rejects.toThrow('not public');
  await other.close();
});

test('an operator’s exception does not allow a metadata address', async () => {
  const other = await startEgress({ hosts: ['meta.test:80'] }, { privateHosts: new Map([['meta.test:80', '169.254.169.254']]) });
  await expect(other.tunnel('meta.test:80')).rejects.toThrow('not public');
  await other.close();
});

test('a TLS client that asks for the allowed name passes; one that asks for another, or for none, does not', async () => {
  const { key, cert } = await certificateFor('tls.test');
  const server = createTlsServer({ key, cert }, (socket) => socket.end('secret answer'));
  const tlsPort = await listening(server);
  const other = await startEgress({ hosts: [`tls.test:${tlsPort}`] }, { privateHosts: new Map([[`tls.test:${tlsPort}`, '127.0.0.1']]) });
  const ask = async (servername: string): Promise<string> => {
    const socket = await other.tunnel(`tls.test:${tlsPort}`);
    const tls = connectTls({ socket, rejectUnauthorized: false, ...(servername === '' ? {} : { servername }) });
    return text(tls).catch(() => '');
  };
  expect(await ask('tls.test')).toBe('secret answer');
  expect(await ask('evil.test')).toBe('');
  expect(await ask('')).toBe('');
  await other.close();
  expect(other.events.map(({ body }) => 'refused' in body && body.refused)).toEqual([null, 'wrong_server_name']);
  server.close();
});

/** A handshake record of TLS. */
const record = (part: Buffer): Buffer => Buffer.concat([Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part]);

test('a ClientHello in several pieces is read; anything but TLS is refused at port 443', async () => {
  const catcher = createServer();
  const at = await listening(catcher);
  const caught = new Promise<Buffer>((resolve) => {
    catcher.once('connection', (socket) => socket.once('data', resolve));
  });
  const client = connectTls({ host: '127.0.0.1', port: at, servername: 'pieces.test' });
  client.on('error', () => {});
  const hello = await caught;
  for (let length = 0; length < hello.length; length += 7) expect(readClientHello(hello.subarray(0, length))).toEqual({ kind: 'more' });
  expect(readClientHello(hello)).toEqual({ kind: 'tls', serverName: 'pieces.test' });
  // The same message over two records.
  const body = hello.subarray(5);
  expect(readClientHello(Buffer.concat([record(body.subarray(0, 9)), record(body.subarray(9))]))).toEqual({
    kind: 'tls',
    serverName: 'pieces.test',
  });
  expect(readClientHello(Buffer.from('GET / HTTP/1.1'))).toEqual({ kind: 'plain' });
  for (let time = 0; time < 400; time += 1) {
    const broken = Buffer.from(hello);
    broken[5 + ((time * 31) % (hello.length - 5))] = time & 255;
    expect(() => readClientHello(broken)).not.toThrow();
  }
  client.destroy();
  catcher.close();
});

test('a transfer is cut off at the limit, later requests are refused, and the next process keeps the total', async () => {
  const job = { hosts: [`web.test:${port}`], maxMiB: 1 };
  const limited = await startEgress(job, { privateHosts: new Map([[`web.test:${port}`, '127.0.0.1']]) });
  const get = (path: string): string =>
    `GET http://web.test:${port}${path} HTTP/1.1\r\nHost: web.test:${port}\r\nConnection: close\r\n\r\n`;
  const cut = await limited.send(get('/big'));
  expect(cut.length).toBeLessThan(2 * 1024 * 1024);
  expect(await limited.send(get('/'))).toMatch(/^HTTP\/1\.1 403 .*used up its transfer limit/s);
  await limited.supervisor.stop('');
  const next = limited.another();
  await next.adopt(limited.place);
  expect(await limited.send(get('/'))).toMatch(/^HTTP\/1\.1 403 .*used up its transfer limit/s);
  await next.stop('');
  await limited.close();
});

test('events: one per host however many connections it had, and a bound for made-up hosts', async () => {
  const counted = await startEgress({ hosts: [`web.test:${port}`] }, { privateHosts: new Map([[`web.test:${port}`, '127.0.0.1']]) });
  const get = `GET http://web.test:${port}/ HTTP/1.1\r\nHost: web.test:${port}\r\nConnection: close\r\n\r\n`;
  for (let time = 0; time < 20; time += 1) await counted.send(get);
  for (let name = 0; name < 300; name += 1) await counted.tunnel(`sk-vk-abcdefghijklmnopqrstuvwxyz${name}.test:443`).catch(() => {});
  await counted.supervisor.stop('');
  const bodies = counted.events.map(({ body }) => body).filter((body) => body.type === 'egress');
  expect(bodies.length).toBeLessThanOrEqual(202);
  expect(bodies[0]).toMatchObject({ host: 'web.test', port, connections: 20, refused: null });
  expect(bodies[0]?.bytesDown).toBeGreaterThan(200);
  expect(bodies.reduce((sum, { refused, connections }) => sum + (refused === null ? 0 : connections), 0)).toBe(300);
  expect(JSON.stringify(bodies)).not.toContain('abcdefghijklm');
  await counted.close();
});

test('a refusal is an event within seconds', async () => {
  await rig.tunnel('soon.test:443').catch(() => {});
  await expect.poll(() => rig.events.some(({ body }) => 'host' in body && body.host === 'soon.test'), { timeout: 10_000 }).toBe(true);
});

test('the proxy of a process that has ended is adopted by another, once, and keeps its totals', async () => {
  const shared = await startEgress({ hosts: [`web.test:${port}`] }, { privateHosts: new Map([[`web.test:${port}`, '127.0.0.1']]) });
  const get = `GET http://web.test:${port}/ HTTP/1.1\r\nHost: web.test:${port}\r\nConnection: close\r\n\r\n`;
  await shared.send(get);
  const next = shared.another();
  await next.adopt(shared.place);
  await shared.send(get);
  await shared.supervisor.stop('');
  await expect(shared.send(get)).rejects.toThrow('ECONNREFUSED');
  await next.adopt(shared.place);
  expect(await shared.send(get)).toContain('the answer');
  await next.stop('');
  expect(shared.events.at(-1)?.body).toMatchObject({ host: 'web.test', connections: 3 });
  await shared.close();
});

test('connections over a sandbox’s limit are not accepted, and the others continue', async () => {
  const crowd = Array.from({ length: 140 }, () => connect(join(rig.place.socketFolder, 'egress.sock')));
  for (const socket of crowd) socket.on('error', () => {});
  await expect.poll(() => crowd.filter(({ destroyed }) => destroyed).length, { timeout: 10_000 }).toBeGreaterThanOrEqual(12);
  for (const socket of crowd) socket.destroy();
  await expect
    .poll(async () => rig.send(`GET http://web.test:${port}/ HTTP/1.1\r\nHost: web.test:${port}\r\nConnection: close\r\n\r\n`))
    .toContain('the answer');
});
