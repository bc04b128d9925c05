import type { OutboundProxies } from '../../src/outbound/proxies.ts';

/** Everything is reached directly. */
export const NO_PROXIES: OutboundProxies = { https: null, http: null, noProxy: '' };
