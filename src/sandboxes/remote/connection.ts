import { setTimeout as sleep } from 'node:timers/promises';

import { fetch } from 'undici';

import { ValetkeyError } from '../../contract/errors.ts';
import { createDispatchers } from '../../outbound/dispatchers.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { SandboxConnection, SandboxFetchInit, SandboxPaths } from '../sandbox.ts';
import { readAccess, type Access } from './access.ts';
import { decideRequestRetry, type RequestFailure } from './decide-request-retry.ts';
import { remoteSandboxLost, vendorUnreachable, type Vendor, type VendorState } from './vendor.ts';

/** Statuses of an answer that can come from the vendor's edge instead of the server. */
const EDGE_STATUSES: ReadonlySet<number> = new Set([404, 429, 500, 502, 503, 504, 521, 522, 523, 524]);
const TOKEN_STATUSES: ReadonlySet<number> = new Set([401, 403]);

export interface RemoteConnectionOptions {
  vendor: Vendor;
  id: string;
  paths: SandboxPaths;
  outbound: OutboundProxies;
}

/**
 * Connects to the server in a remote sandbox through its vendor's edge. It keeps no state but the connection, so any worker can
 * open one. What the edge answers in the sandbox's place never reaches the caller as an answer of the server.
 */
export function connectRemote({ vendor, id, paths, outbound }: RemoteConnectionOptions): SandboxConnection {
  const dispatchers = createDispatchers(outbound);
  let access: Promise<Access> | null = null;
  /** Since when no request has succeeded: the requests of a connection share what they know. */
  let failingSinceMs: number | null = null;

  async function attempt(path: string, init: SandboxFetchInit): Promise<Response | RequestFailure> {
    const known = (access ??= readAccess(vendor, id));
    known.catch(() => (access = null));
    const { url, headers } = await known;
    try {
      const response = await fetch(new URL(path, url), {
        ...init,
        headers: { ...init.headers, ...headers },
        dispatcher: dispatchers.forOrigin(new URL(url).origin),
        redirect: 'error',
      });
      const failure = failureOf(response);
      if (failure === null) return response;
      await response.body?.cancel();
      return failure;
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      return 'network';
    }
  }

  return {
    paths,
    async fetch(path, init = {}) {
      for (;;) {
        const outcome = await attempt(path, init).catch(failureOfVendor);
        if (typeof outcome !== 'string') {
          failingSinceMs = null;
          return outcome;
        }
        failingSinceMs ??= performance.now();
        if (outcome === 'token') access = null;
        const state = await stateOf(vendor, id);
        const decision = decideRequestRetry(outcome, state, performance.now() - failingSinceMs);
        if (decision.action === 'fail') {
          throw decision.code === 'sandbox_lost'
            ? remoteSandboxLost(vendor.title)
            : vendorUnreachable(vendor.title, 'does not let requests through to the sandbox');
        }
        await sleep(decision.afterMs, undefined, init.signal && { signal: init.signal });
      }
    },
    async close() {
      await dispatchers.destroy();
    },
  };
}

/** Every error of the server is a problem document (RFC 9457); the edge's own are not. */
function failureOf(response: Response): RequestFailure | null {
  if (TOKEN_STATUSES.has(response.status)) return 'token';
  const isServers = response.headers.get('content-type')?.startsWith('application/problem+json') === true;
  return !isServers && EDGE_STATUSES.has(response.status) ? 'edge' : null;
}

/** How the address could not be found out: the vendor's API does not answer, or its program in the sandbox. */
function failureOfVendor(error: unknown): RequestFailure {
  if (ValetkeyError.is(error) && error.code === 'sandbox_provider_unreachable') return 'network';
  if (ValetkeyError.is(error) && error.code === 'sandbox_lost') return 'edge';
  throw error;
}

async function stateOf(vendor: Vendor, id: string): Promise<VendorState | null> {
  try {
    return (await vendor.find(id))?.state ?? 'ended';
  } catch (error) {
    if (ValetkeyError.is(error) && error.code === 'sandbox_provider_unreachable') return null;
    throw error;
  }
}
