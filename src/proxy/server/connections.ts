import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { z } from 'zod';

import { errorEnvelope } from './refusal.ts';

export interface ConnectionLimits {
  /** For one listener. */
  maxConnections: number;
  /** For one remote address, over TCP. */
  maxConnectionsPerAddress: number;
  /** ms for a request's headers and body together. */
  requestTimeoutMs: number;
}

/** Longer than clients and forwarders keep an idle connection, so that none of them writes to a connection that is being closed. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HEADERS_TIMEOUT_MS = 15_000;
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;
/** How long a refused connection is still read: a connection closed at once would lose the answer. */
const LINGER_TIMEOUT_MS = 1_000;
/** Unanswered requests on one connection; the clients of agents send one at a time. */
const MAX_PIPELINED_REQUESTS = 16;
/** The largest share of the process's file descriptors for caller connections: each request can need one to the provider, too. */
const MAX_FILES_SHARE = 0.4;

/** The answer to each error of Node's HTTP parser. */
const PARSER_ERRORS: Record<string, [status: number, message: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers of the request are too large.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The chunk extensions of the request are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not arrive in time.'],
};
const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large',
};

interface Connection {
  /** The number of unanswered requests. */
  running: number;
  /** Resolves when the last request before the next one is answered. */
  tail: Promise<void>;
  /** The newest request. */
  request: IncomingMessage | null;
  /** A running request has a valid key. */
  isAdmitted: boolean;
}

/**
 * Creates a server with a limit on its connections: above the limit, the connection that has been idle longest is closed. Requests on one
 * connection are served one after the other. Malformed HTTP is answered with the matching status, after the answers in progress.
 */
export function createBoundedServer(
  limits: ConnectionLimits,
  serve: (req: IncomingMessage, res: ServerResponse, admit: () => void) => void,
): Server {
  const connections = new Map<Socket, Connection>();
  const perAddress = new Map<string, number>();
  const max = Math.min(limits.maxConnections, Math.max(16, Math.floor(maxOpenFiles() * MAX_FILES_SHARE)));
  const server = createServer({
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
  });

  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    if (address !== '') {
      const open = (perAddress.get(address) ?? 0) + 1;
      if (open > limits.maxConnectionsPerAddress) return socket.destroy();
      perAddress.set(address, open);
    }
    connections.set(socket, { running: 0, tail: Promise.resolve(), request: null, isAdmitted: false });
    socket.once('close', () => {
      connections.delete(socket);
      if (address === '') return;
      const left = (perAddress.get(address) ?? 1) - 1;
      if (left === 0) perAddress.delete(address);
      else perAddress.set(address, left);
    });
    if (connections.size > max) closeIdlest(socket);
    return undefined;
  });

  function closeIdlest(newest: Socket): void {
    for (const isClosable of [({ running }: Connection) => running === 0, ({ isAdmitted }: Connection) => !isAdmitted]) {
      for (const [socket, connection] of connections) {
        if (socket !== newest && isClosable(connection)) return void socket.destroy();
      }
    }
    newest.destroy();
  }

  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const connection = connections.get(req.socket);
    if (connection === undefined) return void req.socket.destroy();
    connection.running += 1;
    if (connection.running > MAX_PIPELINED_REQUESTS) return void req.socket.destroy();
    connection.request = req;
    const before = connection.tail;
    const isFirst = connection.running === 1;
    connection.tail = new Promise((resolve) => {
      res.once('close', () => {
        connection.running -= 1;
        connection.isAdmitted = false;
        // Moves the connection to the end of the map: the one that became idle last is closed last.
        if (connection.running === 0 && connections.delete(req.socket)) connections.set(req.socket, connection);
        resolve();
      });
    });
    const admit = (): void => void (connection.isAdmitted = true);
    if (isFirst) serve(req, res, admit);
    else void before.then(() => serve(req, res, admit));
  };
  server.on('request', onRequest);
  server.on('checkContinue', onRequest);
  server.on('checkExpectation', (_req, res: ServerResponse) => void res.writeHead(417).end());

  server.on('clientError', (error: Error & { code?: string }, socket: Socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
    const [status, message] = PARSER_ERRORS[error.code ?? ''] ?? [400, 'The request is not HTTP.'];
    const answer = (): void => endWith(socket, status, message);
    const connection = connections.get(socket);
    // Complete requests still get their answers; an incomplete one is answered with the error.
    if (connection === undefined || connection.running === 0 || connection.request?.complete !== true) answer();
    else void after(connection.tail, answer);
  });
  return server;
}

async function after(tail: Promise<void>, answer: () => void): Promise<void> {
  await tail;
  setImmediate(answer);
}

function endWith(socket: Socket, status: number, message: string): void {
  if (!socket.writable) return void socket.destroy();
  const body = JSON.stringify(errorEnvelope('openai', status, { code: 'llm_rejected', message }));
  const head = `HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket.end(head + body);
  socket.resume();
  setTimeout(() => socket.destroy(), LINGER_TIMEOUT_MS).unref();
}

const limitsSchema = z.object({ userLimits: z.object({ open_files: z.object({ soft: z.union([z.number(), z.string()]) }) }) });

/** Returns how many files the process may have open. */
function maxOpenFiles(): number {
  const { data } = limitsSchema.safeParse(process.report.getReport());
  const soft = Number(data?.userLimits.open_files.soft);
  return Number.isFinite(soft) ? soft : 1_000_000;
}
