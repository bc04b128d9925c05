import { request } from 'undici';
import type { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { parseJson } from '../contract/json.ts';
import type { OutboundProxies } from '../outbound/proxies.ts';
import { createDispatchers, type Dispatchers } from '../proxy/upstream/dispatchers.ts';

/** Of one request, from its start to the last byte of the answer. */
const TIMEOUT_MS = 10_000;
/** Statuses below 500 after which the same request can succeed later. */
const TRANSIENT_STATUSES = new Set([408, 425, 429]);

export interface AdminApiOptions {
  /** The product's own name, for messages. */
  title: string;
  /** URL before the paths of the requests. */
  baseUrl: string;
  /** Returns the headers that hold our credential. */
  authorize: () => Record<string, string>;
  outbound: OutboundProxies;
}

export interface AdminRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Begins with a slash. */
  path: string;
  query?: Record<string, string>;
  body?: object;
}

/** An answer of an admin API, whatever its status. */
export interface AdminAnswer {
  status: number;
  /** Undefined where the body is no JSON; an empty body reads as an empty object. */
  json: unknown;
  /** ms by which the API's clock is ahead of ours; null where the answer has no date. Exact to about a second. */
  clockAheadMs: number | null;
}

/**
 * The admin API of a gateway of a third party: JSON over HTTP, through the outbound proxies. It never retries and follows no redirect,
 * which could carry our credential elsewhere. No error holds a part of an answer, which can quote a key.
 */
export class AdminApi {
  readonly #options: AdminApiOptions;
  readonly #dispatchers: Dispatchers;

  constructor(options: AdminApiOptions) {
    this.#options = options;
    this.#dispatchers = createDispatchers(options.outbound);
  }

  /**
   * Makes a request, and resolves to its parsed answer; to null for 404.
   * @throws `gateway_unreachable` where the outcome is unknown or a later request may succeed, also for an answer that is not as
   * documented; `gateway_refused` for any other status
   */
  async call<T>(wanted: AdminRequest, schema: z.ZodType<T>): Promise<T | null> {
    const { title } = this.#options;
    const { status, json } = await this.send(wanted);
    if (status === 404) return null;
    if (status >= 500 || TRANSIENT_STATUSES.has(status))
      throw new ValetkeyError('gateway_unreachable', `${title} answered ${wanted.method} with status ${status}.`);
    if (status < 200 || status >= 300)
      throw new ValetkeyError(
        'gateway_refused',
        `${title} refused ${wanted.method} with status ${status}: check its address and our credential.`,
      );
    const { success, data } = schema.safeParse(json);
    if (!success) throw new ValetkeyError('gateway_unreachable', `The answer of ${title} to ${wanted.method} is not as documented.`);
    return data;
  }

  /**
   * Makes a request, and resolves to its answer, whatever the status.
   * @throws `gateway_unreachable` where there is no complete answer
   */
  async send({ method, path, query = {}, body }: AdminRequest): Promise<AdminAnswer> {
    const { title, baseUrl, authorize } = this.#options;
    const { origin } = new URL(baseUrl);
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    try {
      const answer = await request(`${baseUrl}${path}`, {
        dispatcher: this.#dispatchers.forOrigin(origin),
        method,
        query,
        headers: { accept: 'application/json', ...json, ...authorize() },
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await answer.body.text();
      return { status: answer.statusCode, json: text === '' ? {} : parseJson(text), clockAheadMs: clockAhead(answer.headers.date) };
    } catch {
      // The cause is left out: it can hold the request with its credential.
      throw new ValetkeyError('gateway_unreachable', `${title} does not answer at ${origin}.`);
    }
  }
}

function clockAhead(date: string | string[] | undefined): number | null {
  const atMs = typeof date === 'string' ? Date.parse(date) : Number.NaN;
  return Number.isNaN(atMs) ? null : atMs - Date.now();
}
