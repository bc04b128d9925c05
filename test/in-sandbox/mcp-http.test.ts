/** A remote MCP server is one on stdin and stdout to any client, and a secret in a header is read when it is needed. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';

import { programFile } from '../../src/in-sandbox/programs.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';
import { listening } from '../sandboxes/egress/rig.ts';

let handle: (request: IncomingMessage, response: ServerResponse) => void;
const requests: string[] = [];
const web = createServer((request, response) => {
  requests.push(`${request.method} ${String(request.headers['mcp-protocol-version'])} ${request.headers.authorization}`);
  handle(request, response);
});
const port = await listening(web);
web.unref();

let secretFile: string;
const clients: Client[] = [];
beforeEach(async () => {
  requests.length = 0;
  secretFile = join(await temporaryFolder(), 'TOKEN');
  await writeFile(secretFile, 'first-token');
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

test.each([
  ['one JSON value', true],
  ['a stream of events', false],
])('answers that are %s reach the client, in a session that is ended with it', async (_what, enableJsonResponse) => {
  let ended: string | undefined;
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    enableJsonResponse,
    onsessionclosed: (id) => void (ended = id),
  });
  await birdServer().connect(transport);
  handle = (request, response) => void transport.handleRequest(request, response);
  const client = await connect();
  const calls = ['wheatear', 'stonechat'].map(async (kind) => client.callTool({ name: 'count_birds', arguments: { kind } }));
  expect((await Promise.all(calls)).map(({ content }) => content)).toMatchObject([
    [{ text: 'seventeen wheatears\n' }],
    [{ text: 'seventeen stonechats\n' }],
  ]);
  await client.close();
  await expect.poll(() => ended).toBe(transport.sessionId);
  expect(requests[0]).toBe('POST undefined Bearer first-token');
  expect(requests.at(-1)).toMatch(/^DELETE 20\d\d-\d\d-\d\d Bearer first-token$/);
});

test('a secret that has changed counts from the next request on, and one that is missing is named', async () => {
  handle = serveAlone;
  const client = await connect();
  await writeFile(secretFile, 'second-token\n');
  await client.listTools();
  expect(requests.at(-1)).toMatch(/Bearer second-token$/);
  await expect(connect(['Authorization=Bearer ${OTHER}'])).rejects.toThrow('The secret OTHER');
});

test.each([
  ['refuses', 401, 'HTTP status 401'],
  ['sends it elsewhere', 307, 'HTTP status 307'],
  ['answers with nothing', 202, 'did not answer'],
])('a request that the server %s is answered with an error, without the body', async (_what, status, message) => {
  handle = (_request, response) => response.writeHead(status, { location: `http://127.0.0.1:${port}/other` }).end('a body');
  await expect(connect()).rejects.toThrow(message);
  expect(requests.length).toBe(1);
});

test('an answer that breaks off is an error', async () => {
  handle = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"jsonrpc":"2.0",');
    setTimeout(() => response.destroy(), 50);
  };
  await expect(connect()).rejects.toThrow('did not answer');
});

test('a server that cannot be reached is an error that says what to look at', async () => {
  await expect(connect([], 'http://127.0.0.1:1/mcp')).rejects.toThrow('sandbox.egress');
});

function birdServer(): McpServer {
  const birds = new McpServer({ name: 'birds', version: '1.0.0' });
  birds.registerTool('count_birds', { inputSchema: { kind: z.string() } }, ({ kind }) => ({
    content: [{ type: 'text', text: `seventeen ${kind}s\n` }],
  }));
  return birds;
}

function serveAlone(request: IncomingMessage, response: ServerResponse): void {
  const transport = new StreamableHTTPServerTransport();
  void birdServer()
    .connect(transport)
    .then(() => transport.handleRequest(request, response));
}

async function connect(headers = ['Authorization=Bearer ${TOKEN}'], url = `http://127.0.0.1:${port}/mcp`): Promise<Client> {
  const client = new Client({ name: 'tests', version: '1.0.0' });
  clients.push(client);
  const args = [programFile('mcp-http'), url, ...headers];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, env: { TOKEN_FILE: secretFile } }));
  return client;
}
