import type { IncomingMessage, ServerResponse } from 'node:http';

import { ValetkeyError, type FailureCode } from '../../contract/errors.ts';
import type { Secret } from '../../secrets/secret.ts';
import { raiseReservation, takeTokens, type KeyAccess, type RequestEnd } from '../../store/requests.ts';
import type { RequestBody } from '../body/request-body.ts';
import { forward } from '../forward/forward.ts';
import type { ForwardEnd } from '../forward/forwarding.ts';
import { GIVEN_UP } from '../forward/given-up.ts';
import type { RetryOptions } from '../forward/retries.ts';
import { decideAccess } from '../limits/access.ts';
import type { Admitted } from '../limits/admission.ts';
import { reserveInLine } from '../limits/reservations.ts';
import { charge, FREE, reserve, type Charge, type Reservation } from '../prices/charge.ts';
import type { ModelPrice } from '../prices/prices.ts';
import { sumCharges } from '../prices/sum-charges.ts';
import { NOTHING_TAPPED } from '../protocols/response-usage.ts';
import type { Route } from '../protocols/routes.ts';
import { unknownBeta, upstreamHeaders } from '../upstream/headers.ts';
import type { ProxyContext } from './context.ts';
import type { Interruption } from './interruption.ts';
import { isRefusal, refusal, sendRefusal, type Refusal } from './refusal.ts';

type PassedRoute = Exclude<Route, { kind: 'models' }>;

/** A request with a good key. */
export interface GoodRequest {
  req: IncomingMessage;
  res: ServerResponse;
  route: PassedRoute;
  access: KeyAccess;
  keyHash: string;
  /** When it came, ms of `performance.now()`. */
  startedMs: number;
  interruption: Interruption;
}

/** What is known of it once its body is read. */
interface PricedRequest extends GoodRequest {
  body: RequestBody;
  price: ModelPrice;
  credential: Secret;
}

/** Reads a request's body, reserves what it can cost, sends it on, and records what it did cost. */
export async function serveRequest(context: ProxyContext, request: GoodRequest): Promise<void> {
  const { req, res, route, access, startedMs, interruption } = request;
  const memory = context.bodyMemory.hold(access.ref, access.tenant);
  try {
    if (req.headers.expect !== undefined) res.writeContinue();
    const body = await context.bodies.read(req, route.protocol, memory, interruption.signal);
    const refuse = async (answer: Refusal): Promise<void> => {
      const model = isRefusal(body) ? null : body.model;
      context.metrics.refused(answer.code);
      await recordRefused(context, access, route, answer, model, startedMs);
      sendRefusal(res, route.dialect, answer);
    };
    if (interruption.code !== null) return await refuse(givenUp(interruption.code));
    const priced = priceOf(context, request, body);
    if (isRefusal(priced)) return await refuse(priced);
    await (route.kind === 'count' ? passFree(context, priced) : spend(context, priced, refuse));
  } finally {
    memory.release();
  }
}

function priceOf(context: ProxyContext, request: GoodRequest, body: RequestBody | Refusal): PricedRequest | Refusal {
  const { req, route, access } = request;
  const beta = route.dialect === 'anthropic' ? unknownBeta(req.headers) : null;
  const price = isRefusal(body) ? null : context.prices.find(route.protocol, body.model);
  const refused = decideAccess({ models: access.models, body, beta, priced: price !== null });
  if (refused !== null || price === null || isRefusal(body)) return refused ?? refusal('internal', 'The gateway failed.');
  const credential = context.upstreams[route.dialect].credential(access.tenant);
  if (credential === undefined) return refusal('llm_unauthorized', 'The gateway has no credential for this protocol that it can open.');
  return { ...request, body, price, credential };
}

/** A request that costs nothing is neither reserved nor recorded. */
async function passFree(context: ProxyContext, request: PricedRequest): Promise<void> {
  const unpriced = { costUsd: () => 0, reserveAnother: () => Promise.resolve(true) };
  await send(context, request, unpriced, async () => {});
}

async function spend(context: ProxyContext, request: PricedRequest, refuse: (answer: Refusal) => Promise<void>): Promise<void> {
  const { route, access, keyHash, body, price, interruption } = request;
  const reservation = reserve(price, { ...body, bytes: body.size });
  const admitted = await admit(context, request, reservation);
  if (isRefusal(admitted)) return refuse(admitted);
  if (admitted.action === 'leave') return refuse(givenUp(interruption.code ?? 'cancelled'));
  if (admitted.action === 'ended') return refuse(refusal('key_refused', GIVEN_UP.key_refused ?? ''));
  if (admitted.action === 'spent') return refuse(refusal('budget_exhausted', 'The budget of the key is spent.'));
  if (admitted.action === 'limited') {
    const limited = refusal('rate_limited', 'The tenant, or the installation at this provider, is at its rate limit.');
    return refuse({ ...limited, retryAfterMs: admitted.retryAfterMs });
  }
  const { id } = admitted;
  const { ref, jobId, tenant } = access;
  const { maxOutputTokens, choices, images, documents } = body;
  const like = { protocol: route.protocol, price, maxOutputTokens, choices, images, documents };
  context.foresight.learn(keyHash, { key: { ref, jobId, tenant }, ...like });
  const firstUse = access.used ? null : context.recorder.firstUse(access);
  const priced: PricedTries = {
    costUsd: (seen) => charge(context.prices, route.protocol, body.model, reservation, seen).usd,
    reserveAnother: async (lost) => {
      const usd = lost.reduce((sum, seen) => sum + priced.costUsd(seen), reservation.usd);
      return raiseReservation(context.database.pool, { ref, jobId, id, usd });
    },
  };
  const sent = { ...request, id, reservation };
  try {
    await send(context, request, priced, async (end) => {
      await record(context, sent, end);
      await firstUse;
    });
  } catch (error) {
    // Nobody knows how far it came: the row is not left open, and not for nothing. One that is ended stays as it is.
    await record(context, sent, { status: 500, code: 'internal', seen: NOTHING_TAPPED, stop: null, tries: 1, lost: [] }).catch(() => {});
    throw error;
  }
}

async function admit(context: ProxyContext, request: PricedRequest, { usd }: Reservation): Promise<Admitted | Refusal> {
  const { access, route, interruption } = request;
  const { reserved } = access;
  // What was foreseen holds, and nothing has to be asked.
  if (reserved?.action === 'limited' || reserved?.action === 'spent') return reserved;
  if (reserved?.action === 'run' && access.reservedUsd >= usd) return reserved;
  const askedMs = performance.now();
  try {
    return await reserveInLine(context, access, route, usd, interruption);
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    return refusal(error.code, error.message);
  } finally {
    context.metrics.waited(performance.now() - askedMs);
  }
}

type PricedTries = Pick<RetryOptions, 'costUsd' | 'reserveAnother'>;

async function send(
  context: ProxyContext,
  request: PricedRequest,
  priced: PricedTries,
  settle: (end: ForwardEnd) => Promise<void>,
): Promise<void> {
  const { req, res, route, access, body, credential, interruption } = request;
  const { origin, prefix, dispatcher } = context.upstreams[route.dialect];
  context.metrics.added(performance.now() - request.startedMs);
  const retryBudget = context.retryBudgets[route.dialect];
  retryBudget.earn();
  const [path = '', query = ''] = (req.url ?? '').split('?', 2);
  await forward({
    dispatcher,
    request: {
      origin,
      path: `${prefix}${path}${query.split('&').includes('beta=true') ? '?beta=true' : ''}`,
      method: req.method ?? 'POST',
      headers: upstreamHeaders(req.headers, route.dialect, credential),
      parts: body.parts,
    },
    credential,
    res,
    dialect: route.dialect,
    protocol: route.kind === 'generate' ? route.protocol : null,
    idleTimeoutMs: context.idleTimeoutMs,
    drainTimeoutMs: context.drainTimeoutMs,
    retries: {
      ...priced,
      maxTries: context.maxTries,
      take: () => retryBudget.take(),
      report: (event) => {
        context.metrics.retried(route, event);
        context.logger?.info({ ref: access.ref, protocol: route.protocol, ...event }, 'a try of a request failed');
      },
    },
    interruption,
    noteKeyEnd: () => context.refusedUses.note(access.ref),
    settle,
  });
}

interface SentRequest extends PricedRequest {
  id: string;
  reservation: Reservation;
}

async function record(context: ProxyContext, request: SentRequest, { status, code, seen, stop, tries, lost }: ForwardEnd): Promise<void> {
  const { id, access, route, body, reservation, startedMs } = request;
  const { ref, tenant } = access;
  const end = (): RequestEnd => {
    const billed = seen === null ? lost : [...lost, seen];
    const charged = sumCharges(billed.map((answer) => charge(context.prices, route.protocol, body.model, reservation, answer)));
    logEnd(context, access, route, { model: body.model, status, code, startedMs, charged, tries });
    if (charged.implausible)
      context.logger?.warn({ ref, id }, 'the provider stated a usage that cannot be true: the reservation is charged');
    const tokens = charged.inputTokens + charged.outputTokens;
    if (tokens > 0) takeTokens(context.database.pool, tenant, route.dialect, tokens, context.rates).catch(() => {});
    return { ...charged, id, model: body.model, status, code, stop, tries, forwarded: true };
  };
  try {
    await context.recorder.end(ref, end, { urgent: code !== null || stop !== null });
  } finally {
    context.admission.release(access.jobId);
  }
}

/** Records why a request of a good key was refused: whoever asks why a turn failed finds it. Throws nothing. */
export async function recordRefused(
  context: ProxyContext,
  access: KeyAccess,
  route: Route,
  { status, code }: Refusal,
  model: string | null,
  startedMs: number,
): Promise<void> {
  if (route.kind !== 'generate') return;
  logEnd(context, access, route, { model, status, code, startedMs, charged: FREE, tries: 0 });
  const { reserved, ref } = access;
  try {
    if (reserved?.action === 'run') {
      await context.recorder.end(ref, () => ({ ...FREE, id: reserved.id, model, status, code, stop: null, tries: 0, forwarded: false }), {
        urgent: true,
      });
      context.admission.release(access.jobId);
    } else if (code !== 'database_unreachable') {
      await context.recorder.refused(access, { protocol: route.protocol, proxy: context.id, model, status, code });
    }
  } catch (error) {
    context.logger?.warn({ err: error, ref }, 'a refusal is not on record');
  }
}

function logEnd(
  context: ProxyContext,
  { ref }: KeyAccess,
  { dialect, protocol }: PassedRoute,
  end: { model: string | null; status: number; code: FailureCode | null; startedMs: number; charged: Charge; tries: number },
): void {
  const { model, status, code, startedMs, charged, tries } = end;
  const ms = Math.round(performance.now() - startedMs);
  const { usd, estimated } = charged;
  context.logger?.info({ ref, protocol, model, status, code, ms, usd, estimated, tries }, 'request');
  context.metrics.ended({ dialect, protocol, status, code, charged });
}

function givenUp(code: FailureCode): Refusal {
  return refusal(code, GIVEN_UP[code] ?? 'The request was given up.');
}
