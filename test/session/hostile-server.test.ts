/** The agent may put a server of its own in the place of ours: the worker reads what it says within bounds, and ends the turn with a typed failure. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, expect, test } from 'vitest';

import { openAcp } from '../../src/session/acp/connection.ts';
import { connectTo } from './server.ts';

const paths = { home: '/home', workspace: '/workspace', gatewayUrl: 'http://127.0.0.1:9' };
let close: () => void = () => {};
afterEach(() => close());

/** A server whose stream is what `says` writes; of files it has one that is never read to its end. */
async function startHostile(says: (response: ServerResponse) => void): Promise<number> {
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/v1/fs/') === true) {
      const zeros = setInterval(() => response.write(Buffer.alloc(4 * 1024 * 1024, 10)), 5);
      response.on('close', () => clearInterval(zeros));
      return;
    }
    if (request.method === 'POST') return void response.end();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    says(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test.each<[string, (response: ServerResponse) => void]>([
  ['never ends a line', (response) => endless(response, () => 'x'.repeat(1024 * 1024))],
  ['never ends a message', (response) => endless(response, (n) => `${n === 1 ? 'id: 1\n' : ''}data: ${'x'.repeat(1024 * 1024)}\n`)],
  ['jumps from message to message', (response) => endless(response, (n) => `id: ${n * 1_000_000}\ndata: {"method":"m"}\n\n`)],
  ['counts in no way', (response) => endless(response, (n) => `id: ${['1e308', '-5', 'x', '1.5'][n % 4]}\ndata: {"method":"m"}\n\n`)],
  [
    'answers what nobody asked',
    (response) => endless(response, (n) => `id: ${n}\ndata: {"id":"a${n}","result":"${'x'.repeat(100_000)}"}\n\n`),
  ],
  ['asks without end', (response) => endless(response, (n) => `id: ${n}\ndata: {"id":${n},"method":"fs/read_text_file"}\n\n`.repeat(100))],
])('a server that %s fills no memory', async (_what, says) => {
  const port = await startHostile(says);
  const before = process.memoryUsage().rss;
  let highest = before;
  const acp = openAcp({
    sandbox: connectTo(port, paths),
    serverId: 'job:1',
    after: 0,
    onMessage: (message) => {
      if (message?.id !== undefined) acp.respond(message.id, { error: { code: -32601, message: 'no' } }).catch(() => {});
      return Promise.resolve();
    },
    onGap: () => Promise.resolve(),
  });
  acp.lost.catch(() => {});
  const ticks: number[] = [];
  for (let n = 0; n < 40; n += 1) {
    const beganMs = performance.now();
    await sleep(50);
    ticks.push(performance.now() - beganMs);
    highest = Math.max(highest, process.memoryUsage().rss);
  }
  acp.close();
  expect((highest - before) / 2 ** 20).toBeLessThan(700);
  // The other sessions of the worker go on meanwhile.
  expect(ticks.filter((ms) => ms > 5000)).toEqual([]);
});

/** Writes as fast as it is read. */
function endless(response: ServerResponse, next: (n: number) => string): void {
  let n = 0;
  const write = (): void => {
    while (!response.destroyed) {
      n += 1;
      if (!response.write(next(n))) break;
      if (n % 100 === 0) return void setImmediate(write);
    }
  };
  response.on('drain', write);
  write();
}
