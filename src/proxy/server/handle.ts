import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { ValetkeyError, type FailureCode } from '../../contract/errors.ts';
import { hashSecret, Secret } from '../../secrets/secret.ts';
import type { KeyAccess } from '../../store/requests.ts';
import { lookUpKey, type Arrived } from '../limits/reservations.ts';
import { dialectOf, findRoute } from '../protocols/routes.ts';
import { keyOf } from '../upstream/headers.ts';
import type { ProxyContext } from './context.ts';
import { Interruption } from './interruption.ts';
import { sendModels } from './models.ts';
import { isRefusal, refusal, sendRefusal, type Refusal } from './refusal.ts';
import { recordRefused, serveRequest } from './serve.ts';

/** How long the rest of a request that was refused is read on: a connection closed before would lose the refusal. */
const LINGER_MS = 2_000;

/**
 * Serves one request, from its key to its record; `admit` is called once its key is good. Nothing is read of its body before its key is known to be good. Throws only what is a
 * mistake of ours.
 */
export async function handle(context: ProxyContext, req: IncomingMessage, res: ServerResponse, admit: () => void): Promise<void> {
  const startedMs = performance.now();
  const [path = ''] = (req.url ?? '').split('?', 1);
  const dialect = dialectOf(path, req.headers);
  const refuse = (answer: Refusal, headers: Record<string, string> = {}): void => {
    context.metrics.refused(answer.code);
    sendRefusal(res, dialect, answer, headers);
    lingerWith(req);
  };
  if (req.headers.upgrade !== undefined && path === '/v1/responses')
    return refuse(refusal('llm_rejected', 'Responses come over HTTP, not over a WebSocket.', 426), { upgrade: 'HTTP/1.1' });
  const route = findRoute(req.method ?? '', path, req.headers);
  if (route === null) return refuse(refusal('llm_rejected', 'The gateway does not serve this route.', 404));
  const key = keyOf(req.headers);
  const hash = key === null ? null : hashSecret(new Secret(key));
  const keyHash = hash?.toString('latin1') ?? '';
  const access =
    hash === null
      ? refusal('key_refused', 'The request has no key.')
      : await lookUp(context, { route, hash, keyHash, headers: req.headers });
  if (isRefusal(access)) {
    if (access.status === 401) await context.strangers.slowDown(req.socket);
    return refuse(access);
  }
  const leave = context.keyLimits.enter(access.ref, access.tenant);
  if (isRefusal(leave)) {
    if (access.reserved?.action === 'run' || context.keyLimits.isFirstRefusal(access.ref))
      await recordRefused(context, access, route, leave, null, startedMs);
    return refuse(leave);
  }
  const interruption = new Interruption();
  let isInside = true;
  const leaveOnce = (): void => {
    if (isInside) leave();
    isInside = false;
  };
  let remove: (() => void) | null = null;
  // Its place is free with its answer; one whose caller left keeps it until the provider has been dealt with.
  const onClose = (): void => {
    if (res.writableFinished) leaveOnce();
    else interruption.interrupt('cancelled');
  };
  try {
    admit();
    if (res.destroyed) onClose();
    else res.once('close', onClose);
    remove = context.open.add(access.ref, access.leaseMs, interruption);
    if (route.kind === 'models') sendModels(res, dialect, access.models, route.id);
    else await serveRequest(context, { req, res, route, access, keyHash, startedMs, interruption });
  } catch (error) {
    await endReserved(context, access, 'internal');
    throw error;
  } finally {
    leaveOnce();
    remove?.();
    lingerWith(req);
  }
}

async function lookUp(context: ProxyContext, arrived: Arrived): Promise<KeyAccess | Refusal> {
  const { strangers, refusedUses, recorder, logger } = context;
  try {
    const access = await strangers.lookUp(arrived.keyHash, () => lookUpKey(context, arrived));
    if (access === undefined) return refusal('rate_limited', 'Too many requests with unknown keys are waiting.');
    if (access === null) return refusal('key_refused', 'The gateway does not know this key.');
    if (access.usable && !recorder.isSuspended(access.ref)) return access;
    await endReserved(context, access, 'key_refused');
    if (arrived.route.kind !== 'models') await refusedUses.note(access.ref);
    return refusal('key_refused', 'The key has ended.');
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    logger?.warn({ code: error.code }, `a key could not be looked up: ${error.message}`);
    return refusal(error.code, error.message);
  }
}

/**
 * Ends the row of a request that was reserved with its look-up and is not sent, whatever the reason: an open one holds its reservation until
 * the key ends. One that is ended already stays as it is. Throws nothing.
 */
async function endReserved({ recorder, admission, logger }: ProxyContext, access: KeyAccess, code: FailureCode): Promise<void> {
  const { reserved, ref, jobId } = access;
  if (reserved?.action !== 'run') return;
  const { status } = refusal(code, '');
  await recorder.endNeverSent(ref, reserved.id, { status, code }).catch((error: unknown) => {
    logger?.warn({ err: error, ref }, 'a request that was not sent is not on record yet');
  });
  admission.release(jobId);
}

/** Gives up the connection of a request that is answered before all of it has come, and goes on coming. */
function lingerWith(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  const { socket }: { socket: Socket } = req;
  req.resume();
  const timer = setTimeout(() => {
    if (!req.complete) socket.destroy();
  }, LINGER_MS);
  req.once('close', () => clearTimeout(timer));
}
