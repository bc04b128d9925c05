import type { IncomingHttpHeaders } from 'node:http';

import { findKey, openRequest, reserveRequest, type KeyAccess, type ReservationRequest } from '../../store/requests.ts';
import type { Route } from '../protocols/routes.ts';
import type { ProxyContext } from '../server/context.ts';
import type { Interruption } from '../server/interruption.ts';
import type { Admitted } from './admission.ts';

type GeneratingRoute = Exclude<Route, { kind: 'models' }>;

/** A request as it has come, before its body. */
export interface Arrived {
  route: Route;
  hash: Buffer;
  /** The same as a text. */
  keyHash: string;
  headers: IncomingHttpHeaders;
}

/**
 * Looks a key up, and reserves its request in the same round trip where it is foreseen what that can cost; null for an unknown key. Throws
 * `database_unreachable`.
 */
export async function lookUpKey(context: ProxyContext, { route, hash, keyHash, headers }: Arrived): Promise<KeyAccess | null> {
  const { pool } = context.database;
  const bytes = Number(headers['content-length'] ?? Number.NaN);
  const foreseen = route.kind === 'generate' ? context.foresight.foresee(keyHash, route.protocol, bytes) : null;
  if (route.kind === 'generate' && foreseen !== null && isFree(context, foreseen.key)) {
    const opened = await openRequest(pool, hash, foreseen.key, reservationOf(context, route, foreseen.usd));
    if (opened?.reserved?.action === 'run') context.recorder.opened(opened.reserved.id);
    if (opened !== null) return opened;
    context.foresight.forget(keyHash);
  }
  return findKey(pool, hash);
}

/** Reserves `usd` of the job's budget, after those that wait for it. Throws `database_unreachable`. */
export async function reserveInLine(
  context: ProxyContext,
  access: KeyAccess,
  route: GeneratingRoute,
  usd: number,
  interruption: Interruption,
): Promise<Admitted> {
  const { reserved } = access;
  let raise = reserved?.action === 'run' ? reserved.id : null;
  const ask = async () => {
    const answer = await reserveRequest(context.database.pool, access, reservationOf(context, route, usd), raise);
    if (answer.action === 'wait') raise = null;
    if (answer.action === 'run') context.recorder.opened(answer.id);
    return answer;
  };
  return context.admission.admit(access.jobId, ask, interruption.signal);
}

function reservationOf({ id, rates }: ProxyContext, { protocol, dialect }: GeneratingRoute, usd: number): ReservationRequest {
  return { protocol, dialect, proxy: id, usd, rates };
}

/** Nothing is reserved for a request that would be refused or has to wait. */
function isFree({ admission, keyLimits }: ProxyContext, { ref, jobId }: Pick<KeyAccess, 'ref' | 'jobId'>): boolean {
  return !admission.hasLine(jobId) && keyLimits.hasRoom(ref);
}
