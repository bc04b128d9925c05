import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Dispatcher } from 'undici';

import type { Dialect } from '../job/dialect.ts';
import { isFailureCode, ValetkeyError, type FailureCode } from '../job/errors.ts';
import { hashSecret, Secret } from '../secrets/secret.ts';
import type { Database } from '../store/database.ts';
import { openRequest, type KeyAccess, type RequestEnd } from '../store/requests.ts';
import type { Logger } from '../telemetry/log.ts';
import { decideAccess } from './access.ts';
import type { Admission } from './admission.ts';
import { readBody, type RequestBody } from './body.ts';
import { charge, worstCaseUsd } from './charge.ts';
import { forward, type ForwardEnd } from './forward.ts';
import { keyOf, upstreamHeaders } from './headers.ts';
import type { OpenRequests } from './open-requests.ts';
import { worstRates } from './prices.ts';
import type { Recorder } from './record.ts';
import { isRefusal, refusal, sendRefusal, type Refusal } from './refusal.ts';
import { dialectOf, findRoute, type Route } from './routes.ts';

export interface UpstreamTarget {
  origin: string;
  /** Path before the route's own; empty, or with a leading and no trailing slash. */
  prefix: string;
  /** Asked for by each request, since it can change. Absent: requests of this dialect are refused. */
  readonly credential: Secret | undefined;
}

/** What the requests of a proxy share. */
export interface ProxyContext {
  database: Database;
  upstreams: Record<Dialect, UpstreamTarget>;
  idleTimeoutMs: number;
  dispatcher: Dispatcher;
  admission: Admission;
  open: OpenRequests;
  recorder: Recorder;
  logger: Logger | undefined;
}

/** Serves one request, from its key to its record. Throws only what is a mistake of ours. */
export async function handle(context: ProxyContext, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = req.url ?? '';
  const [path = ''] = url.split('?', 1);
  const dialect = dialectOf(path, req.headers);
  if (req.headers.upgrade !== undefined && path === '/v1/responses') {
    const answer = refusal('llm_rejected', 'responses come over HTTP, not over a WebSocket', 426);
    return sendRefusal(res, dialect, answer, { upgrade: 'HTTP/1.1' });
  }
  const route = findRoute(req.method ?? '', path, req.headers);
  if (route === null) return sendRefusal(res, dialect, refusal('llm_rejected', 'the gateway does not serve this route', 404));
  const key = keyOf(req.headers);
  if (key === null) return sendRefusal(res, dialect, refusal('key_refused', 'the request has no key'));

  const abort = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) abort.abort('cancelled' satisfies FailureCode);
  });
  // Both at once: the key is looked up while the body comes in.
  const [access, body] = await Promise.all([lookUp(context, key, route), route.hasBody ? readBody(req, route.protocol) : null]);
  if (isRefusal(access)) return sendRefusal(res, dialect, access);
  const remove = context.open.add(access.ref, abort);
  try {
    await serve(context, { req, res, url, route, body, access, signal: abort.signal });
  } finally {
    remove();
  }
}

async function lookUp({ database, logger }: ProxyContext, key: string, { protocol }: Route): Promise<KeyAccess | Refusal> {
  try {
    const access = await openRequest(database.pool, hashSecret(new Secret(key)), protocol);
    return access ?? refusal('key_refused', 'the gateway does not know this key');
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    logger?.warn({ code: error.code }, 'a key could not be looked up');
    return refusal(error.code, error.message);
  }
}

interface Served {
  req: IncomingMessage;
  res: ServerResponse;
  url: string;
  route: Route;
  body: RequestBody | Refusal | null;
  access: KeyAccess;
  signal: AbortSignal;
}

async function serve(context: ProxyContext, { req, res, url, route: { dialect, protocol }, body, access, signal }: Served): Promise<void> {
  const { origin, prefix, credential } = context.upstreams[dialect];
  const request = body === null || isRefusal(body) ? null : body;
  const rates = protocol === null || request === null ? null : worstRates(protocol, request.model);
  const startedMs = performance.now();

  const record = async ({ status, code, seen }: ForwardEnd, forwarded: boolean): Promise<number | null> => {
    const model = request?.model ?? null;
    context.logger?.debug({ ref: access.ref, protocol, model, status, code, ms: Math.round(performance.now() - startedMs) }, 'request');
    const { ref, requestId: id } = access;
    if (id === null) return null;
    const end = (): RequestEnd => {
      const isFree = seen === null || protocol === null || request === null;
      const charged = isFree ? NOTHING : charge(protocol, request.model, request.bytes.length, seen);
      return { ...charged, id, model, status, code, forwarded };
    };
    return context.recorder.end(ref, end, { urgent: code !== null });
  };
  const refuse = async (answer: Refusal): Promise<void> => {
    await record({ status: answer.status, code: answer.code, seen: null }, false);
    sendRefusal(res, dialect, answer);
  };
  const giveUp = async (): Promise<void> => {
    const code = isFailureCode(signal.reason) ? signal.reason : 'internal';
    return refuse(refusal(code, 'the request was given up before it was sent'));
  };

  if (signal.aborted) return giveUp();
  const refused = decideAccess({ access, body, priced: protocol === null || rates !== null });
  if (refused !== null) return refuse(refused);
  if (credential === undefined) return refuse(refusal('llm_unauthorized', 'the gateway has no credential for this protocol'));

  const estimateUsd = rates === null || request === null ? null : worstCaseUsd(rates, request.bytes.length, request.maxOutputTokens);
  const admitted = estimateUsd === null ? FREE : await context.admission.admit(access.jobId, access, estimateUsd, signal);
  if (admitted.do === 'refuse') return refuse(refusal('budget_exhausted', 'the budget of the key is spent'));
  if (admitted.do === 'leave') return giveUp();
  try {
    const firstUse = protocol === null || access.used ? null : context.recorder.firstUse(access);
    await forward({
      dispatcher: context.dispatcher,
      request: {
        origin,
        path: `${prefix}${url}`,
        method: req.method ?? 'GET',
        headers: upstreamHeaders(req.headers, dialect, credential),
        body: request?.bytes ?? null,
      },
      res,
      dialect,
      protocol,
      idleTimeoutMs: context.idleTimeoutMs,
      signal,
      settle: async (end) => {
        admitted.release(await record(end, true));
        await firstUse;
      },
    });
  } finally {
    admitted.release(null);
  }
}

const NOTHING = { inputTokens: 0, outputTokens: 0, usd: 0 };
const FREE = { do: 'run', release: () => {} } as const;
