import { Resolver } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';

import { addressKind } from './addresses.ts';
import type { Refusal } from './decide-egress.ts';

/** The addresses of a host, in no order; rejects or resolves to none where it has none. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** A host and a port of the operator's own network, by `host:port`: its addresses may be private; a given one is taken in place of DNS. */
export type PrivateHosts = ReadonlyMap<string, string | null>;

export type Resolution = { addresses: readonly string[] } | { refused: Refusal };

const TIMEOUT_MS = 4_000;
const TRIES = 2;

/**
 * The addresses that a connection to a host may be made to: it is made to one of these and to no other, whatever the name resolves to
 * a moment later. An address that is not public is left out, unless the operator named host and port; so are those of this host.
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
 * Asks the name servers of this host, and no file of it. In place of the system's own resolver: that blocks a thread of the worker for
 * as long as a server is silent, and a job may choose the server.
 */
export const lookupInDns: Lookup = async (host) => {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
};

/** Servers of this host that listen everywhere answer at its public addresses, too. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
}
