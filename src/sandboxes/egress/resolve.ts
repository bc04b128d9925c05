import { Resolver } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';

import { addressKind } from './addresses.ts';
import type { RefusalReason } from './decide-egress.ts';

/** Looks up the addresses of a host, in no order. Rejects or resolves to an empty list where there are none. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/**
 * Hosts of the operator’s own network, by `host:port`: their addresses may be private. A value, where there is one, replaces DNS.
 */
export type PrivateHosts = ReadonlyMap<string, string | null>;

export type Resolution = { addresses: readonly string[] } | { refused: RefusalReason };

const QUERY_TIMEOUT_MS = 4_000;
const MAX_QUERY_ATTEMPTS = 2;

/**
 * Resolves a host to the only addresses that a connection may be made to, whatever the name resolves to a moment later. Addresses
 * that are not public are left out unless the operator named host and port; so are the addresses of this host.
 */
export async function resolveHost(host: string, port: number, lookup: Lookup, privateHosts: PrivateHosts): Promise<Resolution> {
  const given = privateHosts.get(`${host}:${port}`);
  const found = typeof given === 'string' ? [given] : await lookup(host).catch(() => []);
  if (found.length === 0) return { refused: 'unresolved' };
  const isPrivateAllowed = given !== undefined;
  const own = isPrivateAllowed ? [] : ownAddresses();
  const addresses = found.filter((address) => {
    const kind = addressKind(address);
    return (kind === 'public' || (kind === 'private' && isPrivateAllowed)) && !own.includes(address);
  });
  return addresses.length === 0 ? { refused: 'private_address' } : { addresses };
}

/**
 * Queries the name servers of this host, without /etc/hosts. The system’s resolver is not used: it blocks a thread of the worker
 * while a server is silent, and a job may choose the server.
 */
export const lookupInDns: Lookup = async (host) => {
  const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: MAX_QUERY_ATTEMPTS });
  const isListening = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  return isListening.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
};

/** Servers that listen on all interfaces also answer at the public addresses of this host. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
}
