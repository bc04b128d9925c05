import type { IncomingHttpHeaders } from 'node:http';

import { findKey, openRequest, reserveRequest, type KeyAccess, type ReservationRequest } from '../../store/requests.ts';
import type { Route } from '../protocols/routes.ts';
import type { ProxyContext } from '../server/context.ts';
import type { Interruption } from '../server/interruption.ts';
import type { AdmissionResult } from './admission.ts';

type GeneratingRoute = Exclude<Route, { kind: 'models' }>;

/** A request whose headers were received, before its body is read. */
export interface ReceivedRequest {
  route: Route;
  /** SHA-256 of the key's secret. */
  hash: Buffer;
  /** The hash as a string. */
  keyHash: string;
  headers: IncomingHttpHeaders;
}

/**
 * Looks up a key, and reserves its request in the same round trip where the cost can be predicted. Resolves to null for an unknown key.
 * Throws `database_unreachable`.
 */
export async function lookUpKey(context: ProxyContext, { route, hash, keyHash, headers }: ReceivedRequest): Promise<KeyAccess | null> {
  const { pool } = context.database;
  const bytes = Number(headers['content-length'] ?? Number.NaN);
  const predicted = route.kind === 'generate' ? context.costPredictor.predict(keyHash, route.protocol, bytes) : null;
  if (route.kind === 'generate' && predicted !== null && couldStartNow(context, predicted.key)) {
    const upstream = context.targets.find(route.dialect, predicted.key.credential)?.scope ?? route.dialect;
    const opened = await openRequest(pool, hash, predicted.key, reservationOf(context, route, { usd: predicted.usd, upstream }));
    if (opened?.reserved?.action === 'run') context.recorder.opened(opened.reserved.id);
    if (opened !== null) return opened;
    context.costPredictor.forget(keyHash);
  }
  return findKey(pool, hash);
}

/** Reserves `cost.usd` of the job's budget, after the requests that already wait for it. Throws `database_unreachable`. */
export async function reserveInQueue(
  context: ProxyContext,
  access: KeyAccess,
  route: GeneratingRoute,
  cost: { usd: number; upstream: string },
  interruption: Interruption,
): Promise<AdmissionResult> {
  const { reserved } = access;
  let raise = reserved?.action === 'run' ? reserved.id : null;
  const tryToReserve = async () => {
    const answer = await reserveRequest(context.database.pool, access, reservationOf(context, route, cost), raise);
    if (answer.action === 'wait') raise = null;
    if (answer.action === 'run') context.recorder.opened(answer.id);
    return answer;
  };
  return context.admission.admit(access.jobId, tryToReserve, interruption.signal);
}

function reservationOf(
  { id, rates }: ProxyContext,
  { protocol }: GeneratingRoute,
  { usd, upstream }: { usd: number; upstream: string },
): ReservationRequest {
  return { protocol, upstream, proxy: id, usd, rates };
}

/** A request that would be refused or has to wait reserves nothing in advance. */
function couldStartNow({ admission, keyLimits }: ProxyContext, { ref, jobId }: Pick<KeyAccess, 'ref' | 'jobId'>): boolean {
  return !admission.hasQueue(jobId) && keyLimits.hasRoom(ref);
}
