import { request, type Dispatcher } from 'undici';
import type { z } from 'zod';

import { ValetkeyError } from '../contract/errors.ts';
import { GATEWAY_TITLES, type ExternalGatewayName } from '../contract/gateway-name.ts';
import { parseJson } from '../contract/json.ts';
import { createDispatchers } from '../outbound/dispatchers.ts';
import type { OutboundProxies } from '../outbound/proxies.ts';

const TIMEOUT_MS = 10_000;
/** No retry succeeds: the gateway does not accept the request or our credential. */
const REFUSED = new Set([400, 401, 402, 403, 405, 409, 413, 422]);

export interface AdminApiOptions {
  gateway: ExternalGatewayName;
  /** Without a trailing slash. */
  baseUrl: string;
  /** The headers that hold our credential. */
  headers: Record<string, string>;
  outbound: OutboundProxies;
}

/** An answer of an admin API. */
export interface AdminAnswer {
  status: number;
  /** The parsed JSON; undefined where it is none. */
  body: unknown;
  /** The time of the gateway's clock in ms since 1970; null where it states none. */
  dateMs: number | null;
}

/** The admin API of a gateway over HTTP. It retries nothing, and no error of it contains a part of an answer, which can quote a key. */
export class AdminApi {
  readonly #options: AdminApiOptions;
  readonly #dispatcher: Dispatcher;
  readonly #title: string;

  constructor(options: AdminApiOptions) {
    this.#options = options;
    this.#dispatcher = createDispatchers(options.outbound).forOrigin(new URL(options.baseUrl).origin);
    this.#title = GATEWAY_TITLES[options.gateway];
  }

  /**
   * Calls a method and checks its answer; `json` is sent as the body. Resolves to null for a 404.
   * @throws `gateway_refused` where the gateway refuses the request, `gateway_unreachable` for any other failure
   */
  async call<T>(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, schema: z.ZodType<T>, json?: object): Promise<T | null> {
    const { status, body } = await this.send(method, path, json);
    if (status === 404) return null;
    if (REFUSED.has(status))
      throw new ValetkeyError('gateway_refused', `${this.#title} answered ${method} ${pathOnly(path)} with ${status}.`);
    if (status < 200 || status > 299) throw this.#unreachable(`answered ${method} ${pathOnly(path)} with ${status}`);
    const { data } = schema.safeParse(body);
    if (data === undefined) throw this.#unreachable(`answered ${method} ${pathOnly(path)} with something else than its API documents`);
    return data;
  }

  /**
   * Sends a request and resolves to its answer, whatever its status. `headers` replace those with our credential.
   * @throws `gateway_unreachable` where there is no answer
   */
  async send(method: Dispatcher.HttpMethod, path: string, json?: object, headers = this.#options.headers): Promise<AdminAnswer> {
    try {
      const answer = await request(`${this.#options.baseUrl}${path}`, {
        method,
        dispatcher: this.#dispatcher,
        headers: { ...headers, accept: 'application/json', ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
        body: json === undefined ? null : JSON.stringify(json),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const dateMs = Date.parse(String(answer.headers.date));
      return { status: answer.statusCode, body: parseJson(await answer.body.text()), dateMs: Number.isNaN(dateMs) ? null : dateMs };
    } catch {
      throw this.#unreachable('does not answer');
    }
  }

  #unreachable(what: string): ValetkeyError {
    return new ValetkeyError('gateway_unreachable', `${this.#title} ${what}.`);
  }
}

function pathOnly(path: string): string {
  return path.split('?', 1)[0] ?? '';
}
