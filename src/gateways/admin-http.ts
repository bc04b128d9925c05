import type { Dispatcher } from 'undici';
import type { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { parseJson } from '../contract/json.ts';
import { boundedRequest } from '../outbound/bounded-request.ts';
import { createDispatchers } from '../outbound/dispatchers.ts';
import type { OutboundProxies } from '../outbound/proxies.ts';
import { Secret } from '../secrets/secret.ts';

/** Of a whole call, its answer included. */
const TIMEOUT_MS = 10_000;
/** Several times a page of 100 keys. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Statuses below 500 after which the same request can succeed. */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 409, 425, 429]);

export interface AdminHttpOptions {
  /** The gateway's own name, for messages. */
  title: string;
  /** The URL that every path is appended to, without a slash at its end. */
  baseUrl: string;
  /** The headers that authenticate, by name. */
  auth: Readonly<Record<string, Secret>>;
  outbound: OutboundProxies;
}

export type AdminMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface AdminAnswer {
  status: number;
  /** The gateway's clock, by its Date header; ours where it states none. */
  date: Date;
  /** Undefined where the body is no JSON; the empty one of a success reads as an empty object. */
  body: unknown;
}

export interface ReadAnswer<T> {
  value: T;
  /** The gateway's clock, by its Date header; ours where it states none. */
  date: Date;
}

/**
 * The admin API of a gateway of a third party. Never retries: the callers are activities that Temporal retries. Its errors name the
 * gateway and a status, and never contain a part of an answer, which can quote a key. Connects on first use.
 */
export class AdminHttp {
  readonly #options: AdminHttpOptions;
  readonly #dispatcher: Dispatcher;

  constructor(options: AdminHttpOptions) {
    this.#options = options;
    this.#dispatcher = createDispatchers(options.outbound).forOrigin(new URL(options.baseUrl).origin);
  }

  /**
   * Makes a request and reads its answer. Null for the status 404, which says that there is no such object. With a web page or nothing instead
   * of JSON it says that there is no such API: a key must not count as deleted because the base URL is wrong.
   * @throws `gateway_refused` where the gateway refuses the request or our credential; `gateway_unreachable` where it does not answer, fails,
   * limits the rate, or answers with something that the schema does not accept: whether it has done anything is then unknown
   */
  async request<T>(method: AdminMethod, path: string, schema: z.ZodType<T>, body?: object): Promise<ReadAnswer<T> | null> {
    return this.read(await this.exchange(method, path, body), schema);
  }

  /** Reads an answer, as `request` does. */
  read<T>(answer: AdminAnswer, schema: z.ZodType<T>): ReadAnswer<T> | null {
    const { title } = this.#options;
    const { status } = answer;
    if (status === 404 && answer.body !== undefined) return null;
    if (status >= 400 && status < 500 && !TRANSIENT_STATUSES.has(status))
      throw new ValetkeyError('gateway_refused', explainRefusal(title, status));
    if (status < 200 || status > 299)
      throw new ValetkeyError('gateway_unreachable', `${title} answered with status ${status}: look into its log, or at its status page.`);
    const read = schema.safeParse(answer.body);
    if (!read.success)
      throw new ValetkeyError(
        'gateway_unreachable',
        `${title} gave an answer that its API does not document: check its address and its version.`,
      );
    return { value: read.data, date: answer.date };
  }

  /**
   * Makes a request, and resolves to the answer whatever its status is. `auth` takes the place of our credential: a key under test.
   * Throws `gateway_unreachable` where there is none.
   */
  async exchange(method: AdminMethod, path: string, body?: object, auth = this.#options.auth): Promise<AdminAnswer> {
    const { title, baseUrl } = this.#options;
    const headers: Record<string, string> = { accept: 'application/json' };
    for (const [name, secret] of Object.entries(auth)) headers[name] = secret.reveal();
    if (body !== undefined) headers['content-type'] = 'application/json';
    try {
      const answer = await boundedRequest(`${baseUrl}${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        dispatcher: this.#dispatcher,
        timeoutMs: TIMEOUT_MS,
        maxBytes: MAX_ANSWER_BYTES,
      });
      const date = new Date(String(answer.headers.date));
      return {
        status: answer.status,
        date: Number.isNaN(date.getTime()) ? new Date() : date,
        body: answer.body?.length === 0 && answer.status < 300 ? {} : parseJson(answer.body?.toString() ?? ''),
      };
    } catch {
      // The cause stays out: it can hold the request with its headers.
      throw new ValetkeyError('gateway_unreachable', `${title} does not answer at ${new URL(baseUrl).origin}.`);
    }
  }
}

/** The header that authenticates with a key. */
export function bearer(key: Secret): Record<string, Secret> {
  return { authorization: new Secret(`Bearer ${key.reveal()}`) };
}

function explainRefusal(title: string, status: number): string {
  return status === 401 || status === 403
    ? `${title} does not let our admin credential do this (status ${status}): replace it, or give it the permission, and restart the workers.`
    : `${title} refused a request with status ${status}: check its address, its version and the budget and the model of the job.`;
}
