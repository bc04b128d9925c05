import { connect, type Socket } from 'node:net';

import type { Gateway } from './gateway.ts';

/** One answer as it came over a socket. */
export interface RawAnswer {
  status: number;
  head: string;
  body: string;
}

export interface RawExchange {
  answers: RawAnswer[];
  /** The gateway closed the connection in good order. */
  isClosed: boolean;
  /** The connection broke. */
  isReset: boolean;
  ms: number;
}

/** Opens a connection to a gateway. */
export function open(gateway: Gateway, isOverSocket = false): Socket {
  const socket = isOverSocket ? connect(gateway.socketPath) : connect(gateway.port, '127.0.0.1');
  socket.on('error', () => {});
  return socket;
}

/**
 * Sends bytes as they are, and collects what comes back: until so many answers are there, the connection is closed, or the time is over.
 * `end` closes the sending side behind the bytes.
 */
export async function exchange(
  gateway: Gateway,
  bytes: string | Buffer | readonly (string | Buffer)[],
  { answers = Infinity, end = false, timeoutMs = 5_000 }: { answers?: number; end?: boolean; timeoutMs?: number } = {},
): Promise<RawExchange> {
  const startedMs = performance.now();
  const socket = open(gateway);
  const chunks: Buffer[] = [];
  let isReset = false;
  let isEnded = false;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    const over = (): void => {
      clearTimeout(timer);
      resolve();
    };
    socket
      .on('data', (chunk) => {
        chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk));
        if (answers !== Infinity && parseAnswers(Buffer.concat(chunks).toString('latin1')).length >= answers) over();
      })
      .once('end', () => (isEnded = true))
      .once('error', () => (isReset = true))
      .once('close', over);
    for (const part of typeof bytes === 'string' || Buffer.isBuffer(bytes) ? [bytes] : bytes) {
      socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part);
    }
    if (end) socket.end();
  });
  socket.destroy();
  return {
    answers: parseAnswers(Buffer.concat(chunks).toString('latin1')),
    isClosed: isEnded && !isReset,
    isReset,
    ms: performance.now() - startedMs,
  };
}

/** A request as bytes. `headers` come as they are. */
export function rawRequest(line: string, headers: readonly string[], body = ''): string {
  return `${line}\r\nhost: gateway\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n${body}`;
}

/** A POST of JSON with its length. */
export function rawPost(path: string, key: string | null, body: string, headers: readonly string[] = []): string {
  const shown = key === null ? [] : [`authorization: Bearer ${key}`];
  const length = `content-length: ${Buffer.byteLength(body, 'latin1')}`;
  return rawRequest(`POST ${path} HTTP/1.1`, ['content-type: application/json', length, ...shown, ...headers], body);
}

/** The whole answers in what came over a socket. */
function parseAnswers(text: string): RawAnswer[] {
  const found: RawAnswer[] = [];
  let at = 0;
  while (at < text.length) {
    const headEnd = text.indexOf('\r\n\r\n', at);
    const head = headEnd === -1 ? '' : text.slice(at, headEnd);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) break;
    const rest = headEnd + 4;
    const end = status < 200 ? rest : endOfBody(text, head, rest);
    if (end === -1) break;
    if (status >= 200) found.push({ status, head, body: text.slice(rest, end) });
    at = end;
  }
  return found;
}

function endOfBody(text: string, head: string, from: number): number {
  if (/^transfer-encoding: *chunked/im.test(head)) {
    const end = /(^|\r\n)0\r\n\r\n/.exec(text.slice(from));
    return end === null ? -1 : from + end.index + end[0].length;
  }
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  // Without a length the body ends with the connection.
  if (length === undefined) return text.length;
  return from + Number(length) <= text.length ? from + Number(length) : -1;
}
