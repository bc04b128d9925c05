import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { readClientHello } from './client-hello.ts';
import { EgressRefusal, type Gate, type OpenConnection } from './gate.ts';

const TLS_PORT = 443;

/** Answers a CONNECT: bytes pass inBothCases ways until either side ends. Never throws. */
export async function tunnel(gate: Gate, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
  client.on('error', () => client.destroy());
  const match = /^([^\s:/@[\]]+):(\d{1,5})$/.exec(request.url ?? '');
  const [host = '', port = 0] = match === null ? [] : [match[1], Number(match[2])];
  try {
    if (match === null || port < 1 || port > 65_535) throw gate.refuse('(no host name)', 0, 'not_a_host');
    const connection = await gate.open(host, port);
    if (client.destroyed) return void connection.socket.destroy();
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    connectStreams(gate, connection, client, head, host.toLowerCase(), port);
  } catch (error) {
    const refused = error instanceof EgressRefusal ? error : new EgressRefusal('bad_request', 'Valetkey: The connection failed.');
    const text = `${refused.message}\n`;
    client.end(
      `HTTP/1.1 ${httpStatusOf(refused)} Refused\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
    );
  }
}

/** The HTTP status of a refusal: 5xx for what may work later, 4xx for what is not allowed. */
export function httpStatusOf({ reason }: EgressRefusal): number {
  if (reason === 'unresolved' || reason === 'unreachable') return 502;
  if (reason === 'too_many_connections') return 503;
  return reason === 'bad_request' || reason === 'not_a_host' ? 400 : 403;
}

/**
 * Connects inBothCases streams. The client’s first bytes are read before they are forwarded: a TLS server at the address of an allowed
 * host may serve other hosts, so the server name in the ClientHello has to be the allowed one. The server’s bytes pass at once,
 * since in some protocols the server speaks first.
 */
function connectStreams(gate: Gate, { socket, counters }: OpenConnection, client: Duplex, head: Buffer, host: string, port: number): void {
  let opening: Buffer = Buffer.alloc(0);
  const end = (): void => {
    client.destroy();
    socket.destroy();
  };
  const pass = (): void => {
    client.off('data', onOpening);
    counters.up(opening.length);
    if (socket.destroyed) return;
    socket.write(opening);
    client.on('data', (bytes: Buffer) => counters.up(bytes.length));
    client.pipe(socket);
  };
  const onOpening = (bytes: Buffer): void => {
    opening = Buffer.concat([opening, bytes]);
    const hello = readClientHello(opening);
    if (hello.kind === 'more') return;
    const isPlain = hello.kind === 'plain' && port !== TLS_PORT;
    if (isPlain || (hello.kind === 'tls' && hello.serverName === host)) return pass();
    gate.refuse(host, port, 'wrong_server_name');
    end();
  };
  socket.on('data', (bytes: Buffer) => counters.down(bytes.length));
  socket.pipe(client);
  socket.once('close', () => (socket.readableEnded ? client.end() : client.destroy()));
  client.once('close', () => socket.destroy());
  client.once('end', () => socket.end());
  client.on('data', onOpening);
  if (head.length > 0) client.unshift(head);
}
