import { request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';

import type { Gateway } from './gateway.ts';

/** A whole answer of a gateway. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** From the first byte sent to the last one received. */
  ms: number;
}

export interface Call {
  path: string;
  /** Null: none is shown. */
  key: string | null;
  body?: object | string | Buffer;
  headers?: OutgoingHttpHeaders;
  method?: string;
  /** Over the unix socket instead of TCP. */
  isOverSocket?: boolean;
  timeoutMs?: number;
}

/** One exchange on a connection of its own. Rejects where the connection breaks. */
export async function call(gateway: Gateway, what: Call): Promise<Answer> {
  const startedMs = performance.now();
  const req = begin(gateway, what);
  return new Promise((resolve, reject) => {
    const timeoutMs = what.timeoutMs ?? 30_000;
    const timer = setTimeout(() => req.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    req.once('error', fail).once('response', (res) => {
      const chunks: Buffer[] = [];
      res
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .once('error', fail)
        .once('end', () => {
          clearTimeout(timer);
          const text = Buffer.concat(chunks).toString();
          resolve({ status: res.statusCode ?? 0, headers: res.headers, text, ms: performance.now() - startedMs });
        });
    });
  });
}

/** Begins an exchange, to be looked at while it runs. Its errors are the caller's to listen to, or to ignore. */
export function begin(gateway: Gateway, { path, key, body, headers, method, isOverSocket = false }: Call): ClientRequest {
  const req = request({
    ...(isOverSocket ? { socketPath: gateway.socketPath } : { host: '127.0.0.1', port: gateway.port }),
    path,
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    agent: false,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    },
  });
  req.on('error', () => {});
  return req.end(body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
}

/** The head of an answer, once it is there; whether its body breaks off is not looked at. */
export async function headOf(req: ClientRequest): Promise<IncomingMessage> {
  const res = await new Promise<IncomingMessage>((resolve, reject) => req.once('response', resolve).once('error', reject));
  return res.on('error', () => {});
}
