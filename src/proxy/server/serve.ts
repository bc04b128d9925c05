import { ValetkeyError, type FailureCode } from '../../contract/errors.ts';
import { consumeTokens, raiseReservation, type KeyAccess, type RequestEnd } from '../../store/requests.ts';
import { abortMessage } from '../forward/abort-message.ts';
import { forward } from '../forward/forward.ts';
import type { ForwardEnd, RenewedCredential } from '../forward/forwarding.ts';
import type { RetryOptions } from '../forward/retries.ts';
import type { AdmissionResult } from '../limits/admission.ts';
import { reserveInQueue } from '../limits/reservations.ts';
import { boundCost, charge, ZERO_CHARGE, type Charge, type Reservation } from '../prices/charge.ts';
import { sumCharges } from '../prices/sum-charges.ts';
import { NO_USAGE, type ResponseUsage } from '../protocols/response-usage.ts';
import type { Route } from '../protocols/routes.ts';
import type { StoredLogin } from '../upstream/credentials.ts';
import { upstreamHeaders } from '../upstream/headers.ts';
import type { ProxyContext } from './context.ts';
import { priceRequest, type AuthenticatedRequest, type ForwardedRoute, type PricedRequest } from './price-request.ts';
import { isRefusal, refusal, sendRefusal, type Refusal } from './refusal.ts';

/** Reads a request's body, reserves its highest cost, forwards it, and records its actual cost. */
export async function serveRequest(context: ProxyContext, request: AuthenticatedRequest): Promise<void> {
  const { req, res, route, access, startedMs, interruption } = request;
  const memory = context.bodyMemory.hold(access.ref, access.tenant);
  try {
    if (req.headers.expect !== undefined) res.writeContinue();
    const body = await context.bodies.read(req, route.protocol, memory, interruption.signal);
    const refuse = async (answer: Refusal): Promise<void> => {
      const model = isRefusal(body) ? null : body.model;
      context.metrics.countRefusal(answer.code);
      await recordRefused(context, access, route, answer, model, startedMs);
      sendRefusal(res, route.dialect, answer);
    };
    if (interruption.code !== null) return await refuse(aborted(interruption.code));
    const priced = await priceRequest(context, request, body);
    if (isRefusal(priced)) return await refuse(priced);
    await (route.kind === 'count' ? forwardFree(context, priced) : forwardMetered(context, priced, refuse));
  } finally {
    memory.release();
  }
}

/** Forwards a request that costs nothing: it is neither reserved nor recorded. */
async function forwardFree(context: ProxyContext, request: PricedRequest): Promise<void> {
  const unpriced = { costUsd: () => 0, reserveNextTry: () => Promise.resolve(true) };
  await send(context, request, unpriced, async () => {});
}

async function forwardMetered(context: ProxyContext, request: PricedRequest, refuse: (answer: Refusal) => Promise<void>): Promise<void> {
  const { route, access, keyHash, body, price, interruption } = request;
  const reservation = boundCost(price, { ...body, bytes: body.size });
  const admitted = await admit(context, request, reservation);
  if (isRefusal(admitted)) return refuse(admitted);
  if (admitted.action === 'abandoned') return refuse(aborted(interruption.code ?? 'cancelled'));
  if (admitted.action === 'ended') return refuse(aborted('key_refused'));
  if (admitted.action === 'spent') return refuse(refusal('budget_exhausted', 'The budget of the key is spent.'));
  if (admitted.action === 'limited') {
    const limited = refusal('rate_limited', 'The tenant, or the whole installation, has reached its rate limit at this provider.');
    return refuse({ ...limited, retryAfterMs: admitted.retryAfterMs });
  }
  const { id } = admitted;
  const { ref, jobId, tenant, credential, upstreamSealed } = access;
  const { maxOutputTokens, choices, images, documents } = body;
  const properties = { protocol: route.protocol, price, maxOutputTokens, choices, images, documents };
  context.costPredictor.remember(keyHash, { key: { ref, jobId, tenant, credential, upstreamSealed }, ...properties });
  const firstUse = access.used ? null : context.recorder.recordFirstUse(access);
  const priced: PricedTries = {
    costUsd: (seen) => chargeOf(context, { ...request, reservation }, seen).usd,
    reserveNextTry: async (lost) => {
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
    // How far the request came is unknown, so its open row ends with the reservation as its charge. A row that has ended stays as it is.
    await record(context, sent, { status: 500, code: 'internal', seen: NO_USAGE, stop: null, tries: 1, lost: [] }).catch(() => {});
    throw error;
  }
}

async function admit(context: ProxyContext, request: PricedRequest, { usd }: Reservation): Promise<AdmissionResult | Refusal> {
  const { access, route, interruption } = request;
  const { reserved } = access;
  // The reservation that was made with the look-up suffices.
  if (reserved?.action === 'limited' || reserved?.action === 'spent') return reserved;
  if (reserved?.action === 'run' && access.reservedUsd >= usd) return reserved;
  const startedMs = performance.now();
  try {
    return await reserveInQueue(context, access, route, { usd, upstream: request.target.scope }, interruption);
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    return refusal(error.code, error.message);
  } finally {
    context.metrics.recordWait(performance.now() - startedMs);
  }
}

type PricedTries = Pick<RetryOptions, 'costUsd' | 'reserveNextTry'>;

async function send(
  context: ProxyContext,
  request: PricedRequest,
  priced: PricedTries,
  settle: (end: ForwardEnd) => Promise<void>,
): Promise<void> {
  const { req, res, route, access, body, target, credential, login, interruption } = request;
  const { gateway, origin, dispatcher, retryBudget } = target;
  context.metrics.recordOverhead(performance.now() - request.startedMs);
  retryBudget.earn();
  const [path = '', query = ''] = (req.url ?? '').split('?', 2);
  if (login !== null) context.credentials.recordUse(login);
  await forward({
    dispatcher,
    request: {
      origin,
      path: `${target.pathOf(path)}${query.split('&').includes('beta=true') ? '?beta=true' : ''}`,
      method: req.method ?? 'POST',
      headers: upstreamHeaders(req.headers, route.dialect, { ...target, credential, login: login?.login ?? null }),
      parts: body.parts,
    },
    gateway,
    credential,
    renew: login === null ? null : async () => renewLogin(context, request, login),
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
        context.metrics.countFailedTry(route, event);
        context.logger?.info({ ref: access.ref, protocol: route.protocol, ...event }, 'A try of a request failed.');
      },
    },
    interruption,
    holder: gateway === 'builtin' ? null : context.budgetHolders.join(access.ref),
    recordRefusedUse: () => context.refusedUses.record(access.ref),
    settle,
  });
}

/** After a 401, although the access token has not expired: it was revoked, or our clock is wrong. */
async function renewLogin(
  { subscriptions, credentials, logger }: ProxyContext,
  { req, route, access, target }: PricedRequest,
  refused: StoredLogin,
): Promise<RenewedCredential | FailureCode> {
  try {
    const renewed = await subscriptions.renew(refused);
    if (renewed === undefined) return 'llm_unauthorized';
    credentials.recordUse(renewed);
    const { secret: credential, login } = renewed;
    return { credential, headers: upstreamHeaders(req.headers, route.dialect, { ...target, credential, login }) };
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    logger?.warn({ ref: access.ref, code: error.code }, `The login of a job could not be renewed: ${error.message}`);
    return error.code;
  }
}

interface SentRequest extends PricedRequest {
  id: string;
  reservation: Reservation;
}

async function record(context: ProxyContext, request: SentRequest, { status, code, seen, stop, tries, lost }: ForwardEnd): Promise<void> {
  const { id, access, route, body, startedMs } = request;
  const { ref, tenant } = access;
  const end = (): RequestEnd => {
    const billed = seen === null ? lost : [...lost, seen];
    const charged = sumCharges(billed.map((answer) => chargeOf(context, request, answer)));
    logEnd(context, access, route, { model: body.model, status, code, startedMs, charged, tries });
    if (charged.implausible) context.logger?.warn({ ref, id }, 'The provider stated an impossible usage: the reservation is charged.');
    const tokens = charged.inputTokens + charged.outputTokens;
    if (tokens > 0) consumeTokens(context.database.pool, { tenant, upstream: request.target.scope, tokens }, context.rates).catch(() => {});
    return { ...charged, id, model: body.model, status, code, stop, tries, forwarded: true };
  };
  try {
    await context.recorder.end(ref, end, { urgent: code !== null || stop !== null });
  } finally {
    context.admission.release(access.jobId);
  }
}

/** Charges an answer: OpenRouter states what it charges itself, any other cost follows from the prices. */
function chargeOf(
  { prices }: ProxyContext,
  { route, body, target, reservation }: PricedRequest & { reservation: Reservation },
  seen: Readonly<ResponseUsage>,
): Charge {
  const charged = charge(prices, route.protocol, body.model, reservation, seen);
  const statedUsd = target.gateway === 'openrouter' && seen.usageFinal ? seen.usage?.['cost'] : undefined;
  if (typeof statedUsd !== 'number' || !(statedUsd >= 0 && statedUsd <= reservation.usd)) return charged;
  return { ...charged, usd: statedUsd, estimated: false };
}

/** Records why a request with a valid key was refused, so that the reason of a failed turn is found. Throws nothing. */
export async function recordRefused(
  context: ProxyContext,
  access: KeyAccess,
  route: Route,
  { status, code }: Refusal,
  model: string | null,
  startedMs: number,
): Promise<void> {
  if (route.kind !== 'generate') return;
  logEnd(context, access, route, { model, status, code, startedMs, charged: ZERO_CHARGE, tries: 0 });
  const { reserved, ref } = access;
  try {
    if (reserved?.action === 'run') {
      await context.recorder.end(
        ref,
        () => ({ ...ZERO_CHARGE, id: reserved.id, model, status, code, stop: null, tries: 0, forwarded: false }),
        {
          urgent: true,
        },
      );
      context.admission.release(access.jobId);
    } else if (code !== 'database_unreachable') {
      await context.recorder.refused(access, { protocol: route.protocol, proxy: context.id, model, status, code });
    }
  } catch (error) {
    context.logger?.warn({ err: error, ref }, 'A refusal could not be recorded.');
  }
}

function logEnd(
  context: ProxyContext,
  { ref }: KeyAccess,
  { dialect, protocol }: ForwardedRoute,
  end: { model: string | null; status: number; code: FailureCode | null; startedMs: number; charged: Charge; tries: number },
): void {
  const { model, status, code, startedMs, charged, tries } = end;
  const ms = Math.round(performance.now() - startedMs);
  const { usd, estimated } = charged;
  context.logger?.info({ ref, protocol, model, status, code, ms, usd, estimated, tries }, 'A request ended.');
  context.metrics.countEnd({ dialect, protocol, status, code, charged });
}

function aborted(code: FailureCode): Refusal {
  return refusal(code, abortMessage(code));
}
