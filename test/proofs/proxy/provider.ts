import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';

import { CREDENTIAL } from './models.ts';
import { foulHeaders } from './provider-headers.ts';
import { WAYS } from './provider-ways.ts';

/** How much of a body is kept: the mark of a request stands near its beginning. */
const KEPT_BYTES = 64 * 1024;
const KEPT_REQUESTS = 500;

/** A request that reached the provider. */
export interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  /** The first 64 KiB. */
  body: string;
  bytes: number;
  /** Its connection was closed before the answer was over. */
  isCut: boolean;
}

/** A hostile provider: the body of a request says how it is to be answered. */
export interface Provider {
  url: string;
  /** The newest 500 requests. */
  seen: Seen[];
  /** All requests. */
  requests: number;
  /** Requests that nobody with an active key sent: each of those bears a mark. */
  withoutKey: string[];
  /** Credentials and headers that must not come here. */
  problems: Set<string>;
  close(): Promise<void>;
}

/** The mark of a request with an active key, and the way that it asks for. */
export function mark(way = 'plain', id = ''): string {
  return `live${id} way=${way}; `;
}

export async function startProvider(): Promise<Provider> {
  const server = createServer((req, res) => void serve(provider, req, res).catch(() => res.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const provider: Provider = {
    url: `http://127.0.0.1:${port}`,
    seen: [],
    requests: 0,
    withoutKey: [],
    problems: new Set(),
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return provider;
}

async function serve(provider: Provider, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { method = '', url = '', headers } = req;
  const seen: Seen = { method, url, headers, body: '', bytes: 0, isCut: false };
  provider.requests += 1;
  provider.seen.push(seen);
  if (provider.seen.length > KEPT_REQUESTS) provider.seen.shift();
  res.on('error', () => {});
  res.once('close', () => {
    seen.isCut = !res.writableFinished;
  });
  for await (const chunk of req) {
    if (!Buffer.isBuffer(chunk)) continue;
    if (seen.bytes < KEPT_BYTES) seen.body += chunk.subarray(0, KEPT_BYTES - seen.bytes).toString('latin1');
    seen.bytes += chunk.length;
  }
  const way = /live\d* way=([\w.-]+)/.exec(seen.body)?.[1];
  if (way === undefined) provider.withoutKey.push(`${method} ${url} ${seen.body.slice(0, 100)}`);
  const shown = url.startsWith('/v1/messages') ? headers['x-api-key'] : headers.authorization?.replace(/^Bearer /, '');
  if (shown !== CREDENTIAL) provider.problems.add('a credential that is not the gateway’s reached the provider');
  for (const name of foulHeaders(headers)) provider.problems.add(`the header ${name} reached the provider`);
  const [name = 'plain', ...parameters] = (way ?? 'plain').split('.');
  await (WAYS[name] ?? WAYS.plain)?.({ req, res, path: url, isStream: /"stream"\s*:\s*true/.test(seen.body), parameters });
}
