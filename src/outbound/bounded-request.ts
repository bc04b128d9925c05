import type { IncomingHttpHeaders } from 'node:http';

import { request, type Dispatcher } from 'undici';

import { readBounded } from './read-bounded.ts';

export interface BoundedRequest {
  dispatcher: Dispatcher;
  method: Dispatcher.HttpMethod;
  headers: Record<string, string>;
  body?: string | Uint8Array | undefined;
  /** The time limit of the whole call, its answer included. */
  timeoutMs: number;
  /** The limit for the body of the answer. */
  maxBytes: number;
  signal?: AbortSignal | undefined;
}

export interface BoundedAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Null where it is larger than the limit. */
  body: Buffer | null;
}

/**
 * Makes one HTTP request with a time limit and reads its answer up to a size. Follows no redirect and never retries. Throws what
 * undici throws, which can hold the request with its headers: never log it, and never pass it on.
 */
export async function boundedRequest(url: string, options: BoundedRequest): Promise<BoundedAnswer> {
  const { dispatcher, method, headers, body, timeoutMs, maxBytes, signal } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const answer = await request(url, {
    method,
    headers,
    body: body ?? null,
    dispatcher,
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
  });
  return { status: answer.statusCode, headers: answer.headers, body: await readBounded(answer.body, maxBytes) };
}
