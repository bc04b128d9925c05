import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import type { ProxyMetrics } from './metrics.ts';

/** The state of what the gateway needs to serve requests. */
export interface Readiness {
  /** Postgres answered the last heartbeat. */
  database: boolean;
  /** The dialects that have a default credential. Jobs that bring their own, or have a key of another gateway, need none. */
  credentials: string[];
}

export interface AdminOptions {
  /** Address and port, as in `127.0.0.1:9465` or `[::1]:9465`; port 0 chooses a free one. */
  address: string;
  metrics: ProxyMetrics;
  readiness: () => Readiness;
}

/**
 * Starts the server for operators, on an address that sandboxes do not reach: `/healthz` (200 while the process runs), `/readyz` (200 where
 * Postgres answers, else 503) and `/metrics`. Throws Node's error where it cannot listen.
 */
export async function startAdmin({ address, metrics, readiness }: AdminOptions): Promise<Server> {
  const server = createServer((req, res) => {
    answer(req, res, { metrics, readiness }).catch(() => res.destroy());
  });
  const { hostname, port } = new URL(`http://${address}`);
  server.listen(Number(port === '' ? 80 : port), hostname.replaceAll(/[[\]]/g, ''));
  await once(server, 'listening');
  return server;
}

async function answer(
  { method, url }: IncomingMessage,
  res: ServerResponse,
  { metrics, readiness }: Pick<AdminOptions, 'metrics' | 'readiness'>,
): Promise<void> {
  if (method === 'GET' && url === '/healthz') {
    res.end('ok\n');
  } else if (method === 'GET' && url === '/readyz') {
    const ready = readiness();
    const status = ready.database ? 200 : 503;
    res.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(ready)}\n`);
  } else if (method === 'GET' && url === '/metrics') {
    const { contentType, body } = await metrics.text();
    res.writeHead(200, { 'content-type': contentType }).end(body);
  } else {
    res.writeHead(404).end();
  }
}
