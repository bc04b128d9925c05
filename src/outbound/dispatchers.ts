import { Agent, ProxyAgent, type Dispatcher } from 'undici';

import { proxyFor, type OutboundProxies } from './proxies.ts';

// undici's timeouts are off: the exchange has its own, which also considers a caller that does not read.
const OPTIONS = { headersTimeout: 0, bodyTimeout: 0, pipelining: 1, allowH2: false } as const;
/** Shorter than the total time for retries. */
const CONNECT_TIMEOUT_MS = 5_000;

/** The connections of a proxy to its upstreams. */
export interface Dispatchers {
  /** Returns the dispatcher for an origin, through the outbound proxy that is configured for it. */
  forOrigin(origin: string): Dispatcher;
  /** Closes all connections at once. */
  destroy(): Promise<void>;
}

/** Creates the dispatchers. They connect on first use and keep their connections. */
export function createDispatchers(proxies: OutboundProxies): Dispatchers {
  const byProxy = new Map<string | null, Dispatcher>();
  return {
    forOrigin: (origin) => {
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
