import { createServer, type Server } from 'node:http';

import { forwardHttp } from './forward.ts';
import type { Gate } from './gate.ts';
import { tunnel } from './tunnel.ts';

/** Counts idle connections, too. npm opens 15 at once. */
const MAX_CONNECTIONS = 128;
const HEADERS_TIMEOUT_MS = 20_000;
const KEEP_ALIVE_MS = 10_000;
const MAX_HEADER_BYTES = 64 * 1024;

/** Creates an HTTP proxy for one sandbox, which accepts CONNECT and plain HTTP in absolute form. The caller makes it listen. */
export function createEgressProxy(gate: Gate): Server {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      // A large upload may take long; a silent one ends with its connection to the host, by that one’s idle timeout.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      insecureHTTPParser: false,
    },
    (request, response) => void forwardHttp(gate, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('drop', () => gate.refuse('*', 0, 'too_many_connections'));
  server.on('connect', (request, socket, head) => void tunnel(gate, request, socket, head));
  return server;
}
