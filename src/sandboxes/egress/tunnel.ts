import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { readClientHello } from './client-hello.ts';
import { Refused, type Gate, type Passage } from './gate.ts';

const TLS_PORT = 443;

/** Answers a CONNECT: bytes pass both ways until either side ends. Never throws. */
export async function tunnel(gate: Gate, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
  client.on('error', () => client.destroy());
  const match = /^([^\s:/@[\]]+):(\d{1,5})$/.exec(request.url ?? '');
  const [host = '', port = 0] = match === null ? [] : [match[1], Number(match[2])];
  try {
    if (match === null || port < 1 || port > 65_535) throw gate.refuse('(no host name)', 0, 'not_a_host');
    const passage = await gate.open(host, port);
    if (client.destroyed) return void passage.socket.destroy();
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    join(gate, passage, client, head, host.toLowerCase(), port);
  } catch (error) {
    const refused = error instanceof Refused ? error : new Refused('bad_request', 'Valetkey: the connection failed.');
    const text = `${refused.message}\n`;
    client.end(
      `HTTP/1.1 ${statusOf(refused)} Refused\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
    );
  }
}

/** What the proxy answers: what may work later is distinguished from what is not allowed. */
export function statusOf({ reason }: Refused): number {
  if (reason === 'unresolved' || reason === 'unreachable') return 502;
  if (reason === 'too_many_connections') return 503;
  return reason === 'bad_request' || reason === 'not_a_host' ? 400 : 403;
}

/**
 * The first bytes of the client are read before they are passed on: a TLS server behind the address of an allowed host may serve others,
 * so the name that the client asks it for has to be the one that was allowed. Bytes of the server pass at once: with some protocols it
 * speaks first.
 */
function join(gate: Gate, { socket, flow }: Passage, client: Duplex, head: Buffer, host: string, port: number): void {
  let opening: Buffer = Buffer.alloc(0);
  const end = (): void => {
    client.destroy();
    socket.destroy();
  };
  const pass = (): void => {
    client.off('data', onOpening);
    flow.up(opening.length);
    if (socket.destroyed) return;
    socket.write(opening);
    client.on('data', (bytes: Buffer) => flow.up(bytes.length));
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
  socket.on('data', (bytes: Buffer) => flow.down(bytes.length));
  socket.pipe(client);
  socket.once('close', () => (socket.readableEnded ? client.end() : client.destroy()));
  client.once('close', () => socket.destroy());
  client.once('end', () => socket.end());
  client.on('data', onOpening);
  if (head.length > 0) client.unshift(head);
}
