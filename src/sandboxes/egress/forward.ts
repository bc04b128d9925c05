import { request as sendRequest, type IncomingMessage, type ServerResponse } from 'node:http';

import { Refused, type Gate, type Passage } from './gate.ts';
import { statusOf } from './tunnel.ts';

/** They belong to one connection (RFC 9110, 7.6.1), or are answered here. */
const NOT_PASSED_ON = new Set([
  ...['connection', 'proxy-connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'],
  ...['proxy-authorization', 'proxy-authenticate', 'expect', 'host'],
]);

/** Answers a request in absolute form (`GET http://host/…`) with the host's answer. Never throws. */
export async function forward(gate: Gate, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.on('error', () => {});
  response.on('error', () => {});
  try {
    await exchange(gate, request, response);
  } catch (error) {
    if (response.headersSent || response.destroyed) return void response.destroy();
    const refused = error instanceof Refused ? error : new Refused('unreachable', 'Valetkey: the host broke the connection off.');
    // What is left of the body would be read as the next request.
    response.shouldKeepAlive = false;
    response.writeHead(statusOf(refused), { 'content-type': 'text/plain', connection: 'close' }).end(`${refused.message}\n`);
  }
}

async function exchange(gate: Gate, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { name, port, path, authority } = targetOf(gate, request);
  const passage = await gate.open(name, port);
  try {
    if (response.destroyed) return;
    await pass(passage, request, response, { path, authority });
  } finally {
    passage.socket.destroy();
  }
  if (!response.writableEnded) throw new Error('the answer broke off');
}

async function pass(
  { socket, flow }: Passage,
  request: IncomingMessage,
  response: ServerResponse,
  { path, authority }: Pick<Target, 'path' | 'authority'>,
): Promise<void> {
  const framing = framingOf(request);
  const sent = sendRequest({
    method: request.method,
    path,
    setHost: false,
    headers: [...passedOn(request.rawHeaders), 'host', authority, ...framing, 'connection', 'close'],
    createConnection: () => socket,
    maxHeaderSize: 64 * 1024,
  });
  flow.up(path.length + sizeOf(request.rawHeaders));
  response.once('close', () => sent.destroy());
  await new Promise<void>((resolve, reject) => {
    sent.once('error', reject);
    sent.once('close', resolve);
    // An answer that switches protocols is none: nothing here reads what follows.
    sent.once('upgrade', () => reject(new Error('upgrade')));
    sent.once('response', (answer) => {
      flow.down(sizeOf(answer.rawHeaders));
      answer.on('data', (bytes: Buffer) => flow.down(bytes.length));
      answer.once('error', reject);
      try {
        // What a host may send as a status is not all that may be written.
        response.writeHead(answer.statusCode ?? 502, passedOn(answer.rawHeaders));
        answer.pipe(response);
      } catch (error) {
        reject(error);
      }
    });
    request.on('data', (bytes: Buffer) => flow.up(bytes.length));
    request.pipe(sent);
  });
}

interface Target {
  name: string;
  port: number;
  /** As it was sent: never decoded, never made anew. */
  path: string;
  /** The host and, unless it is 80, the port. */
  authority: string;
}

/** Whom a request is for. Everything that two readers could take in two ways is refused. */
function targetOf(gate: Gate, request: IncomingMessage): Target {
  const match = /^http:\/\/([^\s:/@?#\\[\]]+)(?::(\d{1,5}))?([/?][\x21-\x7e]*)?$/i.exec(request.url ?? '');
  const [, name = '', digits = '80', rest = '/'] = match ?? [];
  const port = Number(digits);
  const authority = port === 80 ? name : `${name}:${port}`;
  const hosts = valuesOf(request.rawHeaders, 'host');
  const said = hosts[0]?.toLowerCase().replace(/:80$/, '');
  const isClear =
    match !== null &&
    port > 0 &&
    port <= 65_535 &&
    hosts.length === 1 &&
    said === authority.toLowerCase() &&
    // Node refuses both together; HTTP/1.0 knows no chunks.
    valuesOf(request.rawHeaders, 'content-length').length <= 1 &&
    (request.headers['transfer-encoding'] === undefined ||
      (request.headers['transfer-encoding'].toLowerCase() === 'chunked' && request.httpVersion === '1.1'));
  if (!isClear) throw gate.refuse(match === null ? '(no host name)' : name.slice(0, 253), match === null ? 0 : port, 'bad_request');
  return { name, port, path: rest.startsWith('?') ? `/${rest}` : rest, authority };
}

/** How the body is framed, made anew: a length that was read passes among the headers. */
function framingOf({ headers, method }: IncomingMessage): string[] {
  if (headers['transfer-encoding'] !== undefined) return ['transfer-encoding', 'chunked'];
  const hasBody = headers['content-length'] !== undefined || !['POST', 'PUT', 'PATCH'].includes(method ?? '');
  return hasBody ? [] : ['content-length', '0'];
}

function passedOn(rawHeaders: readonly string[]): string[] {
  const named = valuesOf(rawHeaders, 'connection').flatMap((value) => value.split(',').map((name) => name.trim().toLowerCase()));
  // A length is never hop-by-hop, whatever a header says: without it the body would end where the connection does.
  const dropped = new Set([...NOT_PASSED_ON, ...named.filter((name) => name !== 'content-length')]);
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
