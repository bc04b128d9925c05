import { Agent, ProxyAgent, type Dispatcher } from 'undici';

import { proxyFor, type OutboundProxies } from '../../outbound/proxies.ts';

// The only time-out is ours, which knows who is waiting for whom.
const OPTIONS = { headersTimeout: 0, bodyTimeout: 0, pipelining: 1, allowH2: false } as const;
/** Within the time that a request may be tried again. */
const CONNECT_TIMEOUT_MS = 5_000;

/** The connections of a proxy to its upstreams. */
export interface Dispatchers {
  /** Of an origin: through the outbound proxy that is for it. */
  of(origin: string): Dispatcher;
  /** Ends them at once. */
  destroy(): Promise<void>;
}

/** Makes connections when they are needed, and keeps them. */
export function createDispatchers(proxies: OutboundProxies): Dispatchers {
  const byProxy = new Map<string | null, Dispatcher>();
  return {
    of: (origin) => {
      const proxy = proxyFor(proxies, new URL(origin));
      const dispatcher = byProxy.get(proxy) ?? create(proxy);
      byProxy.set(proxy, dispatcher);
      return dispatcher;
    },
    destroy: async () => {
      await Promise.all([...byProxy.values()].map(async (dispatcher) => dispatcher.destroy()));
    },
  };
}

function create(proxy: string | null): Dispatcher {
  if (proxy === null) return new Agent({ ...OPTIONS, connect: { timeout: CONNECT_TIMEOUT_MS } });
  return new ProxyAgent({ ...OPTIONS, uri: proxy });
}
