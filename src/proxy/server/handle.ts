import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { ValetkeyError, type FailureCode } from '../../contract/errors.ts';
import { hashSecret, Secret } from '../../secrets/secret.ts';
import type { KeyAccess } from '../../store/requests.ts';
import { lookUpKey, type ReceivedRequest } from '../limits/reservations.ts';
import { dialectOf, findRoute } from '../protocols/routes.ts';
import { readKey } from '../upstream/headers.ts';
import type { ProxyContext } from './context.ts';
import { Interruption } from './interruption.ts';
import { sendModels } from './models.ts';
import { isRefusal, refusal, sendRefusal, type Refusal } from './refusal.ts';
import { recordRefused, serveRequest } from './serve.ts';

/** How long the rest of a refused request is read: a connection closed at once would lose the refusal. */
const LINGER_TIMEOUT_MS = 2_000;

/**
 * Serves one request, from the check of its key to its record. Calls `admit` once the key is valid, and reads nothing of the body before.
 * Throws only on a bug of the gateway.
 */
export async function handle(context: ProxyContext, req: IncomingMessage, res: ServerResponse, admit: () => void): Promise<void> {
  const startedMs = performance.now();
  const [path = ''] = (req.url ?? '').split('?', 1);
  const dialect = dialectOf(path, req.headers);
  const refuse = (answer: Refusal, headers: Record<string, string> = {}): void => {
    context.metrics.countRefusal(answer.code);
    sendRefusal(res, dialect, answer, headers);
    drainBriefly(req);
  };
  if (req.headers.upgrade !== undefined && path === '/v1/responses')
    return refuse(refusal('llm_rejected', 'The gateway serves responses over HTTP, not over a WebSocket.', 426), { upgrade: 'HTTP/1.1' });
  const route = findRoute(req.method ?? '', path, req.headers);
  if (route === null) return refuse(refusal('llm_rejected', 'The gateway does not serve this route.', 404));
  const key = readKey(req.headers);
  const hash = key === null ? null : hashSecret(new Secret(key));
  const keyHash = hash?.toString('latin1') ?? '';
  const access =
    hash === null
      ? refusal('key_refused', 'The request has no key. Send it in the authorization or x-api-key header.')
      : await lookUp(context, { route, hash, keyHash, headers: req.headers });
  if (isRefusal(access)) {
    if (access.status === 401) await context.unknownKeys.delayRefusal(req.socket);
    return refuse(access);
  }
  const release = context.keyLimits.enter(access.ref, access.tenant);
  if (isRefusal(release)) {
    if (access.reserved?.action === 'run' || context.keyLimits.isFirstRefusal(access.ref))
      await recordRefused(context, access, route, release, null, startedMs);
    return refuse(release);
  }
  const interruption = new Interruption();
  let isReleased = false;
  const releaseOnce = (): void => {
    if (!isReleased) release();
    isReleased = true;
  };
  let remove: (() => void) | null = null;
  // A complete answer releases the request's slot; where the caller disconnected, the request keeps it until the provider is done.
  const onClose = (): void => {
    if (res.writableFinished) releaseOnce();
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
    releaseOnce();
    remove?.();
    drainBriefly(req);
  }
}

async function lookUp(context: ProxyContext, request: ReceivedRequest): Promise<KeyAccess | Refusal> {
  const { unknownKeys, refusedUses, recorder, logger } = context;
  try {
    const access = await unknownKeys.lookUp(request.keyHash, () => lookUpKey(context, request));
    if (access === undefined) return refusal('rate_limited', 'Too many requests with unknown keys are waiting. Retry later.');
    if (access === null) return refusal('key_refused', 'The gateway does not know this key.');
    if (access.usable && !recorder.isSuspended(access.ref)) return access;
    await endReserved(context, access, 'key_refused');
    if (request.route.kind !== 'models') await refusedUses.record(access.ref);
    return refusal('key_refused', 'The key has ended.');
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    logger?.warn({ code: error.code }, `A key could not be looked up: ${error.message}`);
    return refusal(error.code, error.message);
  }
}

/**
 * Ends the row of a request that was reserved with its look-up and is not sent: an open row would hold its reservation until the key ends.
 * A row that has ended already stays as it is. Throws nothing.
 */
async function endReserved({ recorder, admission, logger }: ProxyContext, access: KeyAccess, code: FailureCode): Promise<void> {
  const { reserved, ref, jobId } = access;
  if (reserved?.action !== 'run') return;
  const { status } = refusal(code, '');
  await recorder.endNeverSent(ref, reserved.id, { status, code }).catch((error: unknown) => {
    logger?.warn({ err: error, ref }, 'The end of a request that was not sent is not recorded yet.');
  });
  admission.release(jobId);
}

/** Reads the rest of a request that was answered early, and closes its connection where the rest takes too long. */
function drainBriefly(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  const { socket }: { socket: Socket } = req;
  req.resume();
  const timer = setTimeout(() => {
    if (!req.complete) socket.destroy();
  }, LINGER_TIMEOUT_MS);
  req.once('close', () => clearTimeout(timer));
}
