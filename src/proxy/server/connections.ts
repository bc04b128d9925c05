import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { z } from 'zod';

import { errorEnvelope } from './refusal.ts';

export interface ConnectionLimits {
  /** Of one listener. */
  maxConnections: number;
  /** Of one address, over TCP. */
  maxConnectionsPerAddress: number;
  /** ms that a request's headers and body may take together. */
  requestTimeoutMs: number;
}

/** Longer than clients and forwarders keep an idle connection, so that none writes into one that is just being closed. */
const KEEP_ALIVE_MS = 75_000;
const MAX_HEADERS_MS = 15_000;
const CHECK_MS = 1_000;
/** Requests on one connection that are not answered; the clients of agents send one at a time. */
const MAX_PIPELINED = 16;
/** Of the files that the process may have open, the share that connections of callers may take: each can need one to the provider, too. */
const SHARE_OF_FILES = 0.4;

const STATUS_OF: Record<string, [status: number, message: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers of the request are too large.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The chunk extensions of the request are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not come in time.'],
};
const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large',
};

interface Connection {
  /** Requests on it that are not answered. */
  running: number;
  /** The one before has to be answered first. */
  tail: Promise<void>;
  /** The newest. */
  request: IncomingMessage | null;
  /** The key of a request that runs is good. */
  isAdmitted: boolean;
}

/**
 * A server whose connections are bounded: where there are too many, the one that has been idle longest goes. Requests on one connection are
 * served one after the other. What is no HTTP gets the status that says so, after the answers that are under way.
 */
export function createBoundedServer(
  limits: ConnectionLimits,
  serve: (req: IncomingMessage, res: ServerResponse, admit: () => void) => void,
): Server {
  const connections = new Map<Socket, Connection>();
  const perAddress = new Map<string, number>();
  const max = Math.min(limits.maxConnections, Math.max(16, Math.floor(openFiles() * SHARE_OF_FILES)));
  const server = createServer({
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: Math.min(MAX_HEADERS_MS, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: CHECK_MS,
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
    if (connection.running > MAX_PIPELINED) return void req.socket.destroy();
    connection.request = req;
    const before = connection.tail;
    const isFirst = connection.running === 1;
    connection.tail = new Promise((resolve) => {
      res.once('close', () => {
        connection.running -= 1;
        connection.isAdmitted = false;
        // The newest to end is the last to be closed where there are too many.
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
    const [status, message] = STATUS_OF[error.code ?? ''] ?? [400, 'The request is not HTTP.'];
    const answer = (): void => endWith(socket, status, message);
    const connection = connections.get(socket);
    // Requests that came whole get their answers; one of which the rest is no HTTP, or does not come, gets none.
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
  // What goes on coming is read for a moment: a connection closed before would lose the answer.
  setTimeout(() => socket.destroy(), CHECK_MS).unref();
}

const limitsSchema = z.object({ userLimits: z.object({ open_files: z.object({ soft: z.union([z.number(), z.string()]) }) }) });

/** How many files the process may have open. */
function openFiles(): number {
  const { data } = limitsSchema.safeParse(process.report.getReport());
  const soft = Number(data?.userLimits.open_files.soft);
  return Number.isFinite(soft) ? soft : 1_000_000;
}
