import { request as sendRequest, type IncomingMessage, type ServerResponse } from 'node:http';

import { EgressRefusal, type Gate, type OpenConnection } from './gate.ts';
import { httpStatusOf } from './tunnel.ts';

/** Headers that belong to one connection (RFC 9110, 7.6.1) or that this proxy handles itself. */
const HOP_BY_HOP_HEADERS = new Set([
  ...['connection', 'proxy-connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'],
  ...['proxy-authorization', 'proxy-authenticate', 'expect', 'host'],
]);

/** Answers a request in absolute form (`GET http://host/…`) with the response of the host. Never throws. */
export async function forwardHttp(gate: Gate, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.on('error', () => {});
  response.on('error', () => {});
  try {
    await forwardOrThrow(gate, request, response);
  } catch (error) {
    if (response.headersSent || response.destroyed) return void response.destroy();
    const refused =
      error instanceof EgressRefusal
        ? error
        : new EgressRefusal('unreachable', 'Valetkey: The host closed the connection before its response was complete.');
    // The rest of the body would be read as the next request.
    response.shouldKeepAlive = false;
    response.writeHead(httpStatusOf(refused), { 'content-type': 'text/plain', connection: 'close' }).end(`${refused.message}\n`);
  }
}

async function forwardOrThrow(gate: Gate, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { name, port, path, authority } = parseTarget(gate, request);
  const connection = await gate.open(name, port);
  try {
    if (response.destroyed) return;
    await relay(connection, request, response, { path, authority });
  } finally {
    connection.socket.destroy();
  }
  if (!response.writableEnded) throw new Error('The response is incomplete.');
}

async function relay(
  { socket, counters }: OpenConnection,
  request: IncomingMessage,
  response: ServerResponse,
  { path, authority }: Pick<Target, 'path' | 'authority'>,
): Promise<void> {
  const framing = rebuildFraming(request);
  const sent = sendRequest({
    method: request.method,
    path,
    setHost: false,
    headers: [...endToEndHeaders(request.rawHeaders), 'host', authority, ...framing, 'connection', 'close'],
    createConnection: () => socket,
    maxHeaderSize: 64 * 1024,
  });
  counters.up(path.length + sizeOf(request.rawHeaders));
  response.once('close', () => sent.destroy());
  await new Promise<void>((resolve, reject) => {
    sent.once('error', reject);
    sent.once('close', resolve);
    // A response that switches protocols cannot be forwarded: nothing here reads the new protocol.
    sent.once('upgrade', () => reject(new Error('The host switched protocols.')));
    sent.once('response', (answer) => {
      counters.down(sizeOf(answer.rawHeaders));
      answer.on('data', (bytes: Buffer) => counters.down(bytes.length));
      answer.once('error', reject);
      try {
        // writeHead throws on statuses and headers that Node’s client accepts.
        response.writeHead(answer.statusCode ?? 502, endToEndHeaders(answer.rawHeaders));
        answer.pipe(response);
      } catch (error) {
        reject(error);
      }
    });
    request.on('data', (bytes: Buffer) => counters.up(bytes.length));
    request.pipe(sent);
  });
}

interface Target {
  name: string;
  port: number;
  /** The path as it was sent: never decoded, never rebuilt. */
  path: string;
  /** The host, with the port unless that is 80. */
  authority: string;
}

/** Reads the target of a request. Throws a refusal where two parsers could read it in two ways. */
function parseTarget(gate: Gate, request: IncomingMessage): Target {
  const match = /^http:\/\/([^\s:/@?#\\[\]]+)(?::(\d{1,5}))?([/?][\x21-\x7e]*)?$/i.exec(request.url ?? '');
  const [, name = '', digits = '80', rest = '/'] = match ?? [];
  const port = Number(digits);
  const authority = port === 80 ? name : `${name}:${port}`;
  const hosts = valuesOf(request.rawHeaders, 'host');
  const hostHeader = hosts[0]?.toLowerCase().replace(/:80$/, '');
  const isClear =
    match !== null &&
    port > 0 &&
    port <= 65_535 &&
    hosts.length === 1 &&
    hostHeader === authority.toLowerCase() &&
    // Node refuses a request that has inBothCases headers; HTTP/1.0 has no chunked encoding.
    valuesOf(request.rawHeaders, 'content-length').length <= 1 &&
    (request.headers['transfer-encoding'] === undefined ||
      (request.headers['transfer-encoding'].toLowerCase() === 'chunked' && request.httpVersion === '1.1'));
  if (!isClear) throw gate.refuse(match === null ? '(no host name)' : name.slice(0, 253), match === null ? 0 : port, 'bad_request');
  return { name, port, path: rest.startsWith('?') ? `/${rest}` : rest, authority };
}

/** Rebuilds the framing of the body. A content-length is forwarded among the other headers. */
function rebuildFraming({ headers, method }: IncomingMessage): string[] {
  if (headers['transfer-encoding'] !== undefined) return ['transfer-encoding', 'chunked'];
  const hasBody = headers['content-length'] !== undefined || !['POST', 'PUT', 'PATCH'].includes(method ?? '');
  return hasBody ? [] : ['content-length', '0'];
}

function endToEndHeaders(rawHeaders: readonly string[]): string[] {
  const named = valuesOf(rawHeaders, 'connection').flatMap((value) => value.split(',').map((name) => name.trim().toLowerCase()));
  // content-length is kept even where Connection names it: without it the body would end with the connection.
  const dropped = new Set([...HOP_BY_HOP_HEADERS, ...named.filter((name) => name !== 'content-length')]);
  return pairs(rawHeaders).flatMap(([name, value]) => (dropped.has(name.toLowerCase()) ? [] : [name, value]));
}

function valuesOf(rawHeaders: readonly string[], wanted: string): string[] {
  return pairs(rawHeaders).flatMap(([name, value]) => (name.toLowerCase() === wanted ? [value] : []));
}

function pairs(rawHeaders: readonly string[]): [string, string][] {
  return rawHeaders.flatMap((name, index): [string, string][] => (index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? '']] : []));
}

function sizeOf(rawHeaders: readonly string[]): number {
  return rawHeaders.reduce((sum, text) => sum + text.length + 2, 0);
}
