import type { IncomingHttpHeaders } from 'node:http';

import type { z } from 'zod';

import { parseJson } from '../../contract/json.ts';
import { boundedRequest, type BoundedAnswer, type BoundedRequest } from '../../outbound/bounded-request.ts';
import { createDispatchers } from '../../outbound/dispatchers.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { Secret } from '../../secrets/secret.ts';
import { remoteSandboxLost, VendorBusy, vendorRefused, vendorUnreachable } from './vendor.ts';

/** Of a call without a limit of its own. */
const TIMEOUT_MS = 30_000;
/** A page of a listing. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** Statuses below 500 after which the same request can succeed. */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 409, 423, 425]);

const EDGE_STATUSES: ReadonlySet<number> = new Set([502, 503, 504]);

export type VendorCall = Pick<BoundedRequest, 'method' | 'signal'> & {
  json?: object;
  content?: { type: string; body: string };
  timeoutMs?: number;
  maxBytes?: number;
  /** A status that is no failure, beside those of a success. */
  accept?: number;
  /** The request is for the vendor's program in a sandbox: the edge says that it does not answer. */
  isInside?: boolean;
};

/**
 * The HTTP API of a vendor, with our API key as a bearer token. Never retries. Its errors name the vendor and a status, and never
 * contain a part of an answer. Connects on first use.
 */
export class VendorHttp {
  readonly #title: string;
  readonly #apiKey: Secret;
  readonly #dispatchers: ReturnType<typeof createDispatchers>;

  constructor(title: string, apiKey: Secret, outbound: OutboundProxies) {
    this.#title = title;
    this.#apiKey = apiKey;
    this.#dispatchers = createDispatchers(outbound);
  }

  /** Makes a request and reads its JSON; null for the status 404. Throws as the methods of `Vendor`. */
  async json<T>(url: string, schema: z.ZodType<T>, call: VendorCall): Promise<T | null> {
    const answer = await this.request(url, call);
    if (answer === null) return null;
    const parsed = schema.safeParse(parseJson(answer.body?.toString() ?? ''));
    if (!parsed.success) throw vendorUnreachable(this.#title, 'gave an answer that its API does not document');
    return parsed.data;
  }

  /** Makes a request and resolves to the answer of a success; null for the status 404. Throws as the methods of `Vendor`. */
  async request(url: string, call: VendorCall): Promise<BoundedAnswer | null> {
    const { method, signal, json, content, timeoutMs = TIMEOUT_MS, maxBytes = MAX_ANSWER_BYTES, accept, isInside = false } = call;
    const type = content?.type ?? (json === undefined ? undefined : 'application/json');
    let answer: BoundedAnswer;
    try {
      answer = await boundedRequest(url, {
        dispatcher: this.#dispatchers.forOrigin(new URL(url).origin),
        method,
        headers: { authorization: `Bearer ${this.#apiKey.reveal()}`, ...(type !== undefined && { 'content-type': type }) },
        body: content?.body ?? (json === undefined ? undefined : JSON.stringify(json)),
        timeoutMs,
        maxBytes,
        signal,
      });
    } catch (error) {
      if (signal?.aborted === true) throw error;
      // The cause stays out: it can hold the request with its headers.
      throw vendorUnreachable(this.#title, `does not answer at ${new URL(url).origin}`);
    }
    const { status } = answer;
    if ((status >= 200 && status < 300) || status === accept) return answer;
    if (status === 404) return null;
    if (status === 429) throw new VendorBusy(this.#title, retryAfterMs(answer.headers));
    if (status >= 400 && status < 500 && !TRANSIENT_STATUSES.has(status)) throw vendorRefused(this.#title, status);
    if (isInside && EDGE_STATUSES.has(status)) throw remoteSandboxLost(this.#title);
    throw vendorUnreachable(this.#title, `answered with status ${status}`);
  }
}

function retryAfterMs(headers: IncomingHttpHeaders): number | null {
  const text = headers['retry-after'] ?? '';
  return /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : null;
}
