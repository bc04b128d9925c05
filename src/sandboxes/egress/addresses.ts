import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** A `private` address is reached only where the operator allows it for one host by name; a `forbidden` one never. */
export type AddressKind = 'public' | 'private' | 'forbidden';

/** Loopback, private use, shared address space: RFC 1122, 1918, 6598. */
const PRIVATE_V4 = subnets('ipv4', ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10']);
/** Loopback and unique local: RFC 4291, 4193. */
const PRIVATE_V6 = subnets('ipv6', ['::1/128', 'fc00::/7']);

/**
 * All other ranges that IANA’s registry of special-purpose IPv4 addresses lists as not globally reachable, and the metadata
 * services of clouds.
 */
const FORBIDDEN_V4 = subnets('ipv4', [
  ...['0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  // The metadata services of Alibaba Cloud and Azure, whose addresses lie in public ranges.
  ...['100.100.100.200/32', '168.63.129.16/32'],
]);
const METADATA_V6 = subnets('ipv6', ['fd00:ec2::254/128', 'fd20:ce::254/128']);
/**
 * The global unicast range, and the special ranges in it: protocols and Teredo, documentation, 6to4 (RFC 4380, 3849, 9637, 3056).
 */
const GLOBAL_V6 = subnets('ipv6', ['2000::/3']);
const SPECIAL_V6 = subnets('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']);

/**
 * Classifies an address that a name resolved to. IPv6 forms that embed an IPv4 address (mapped, NAT64, 6to4, Teredo) are forbidden
 * whatever that address is, and so is a text that is not an address.
 */
export function addressKind(address: string): AddressKind {
  if (isIPv4(address)) {
    if (FORBIDDEN_V4.check(address)) return 'forbidden';
    return PRIVATE_V4.check(address) ? 'private' : 'public';
  }
  if (!isIPv6(address) || address.includes('%') || METADATA_V6.check(address, 'ipv6')) return 'forbidden';
  if (PRIVATE_V6.check(address, 'ipv6')) return 'private';
  return GLOBAL_V6.check(address, 'ipv6') && !SPECIAL_V6.check(address, 'ipv6') ? 'public' : 'forbidden';
}

/** Builds a list for one family: a list of IPv4 ranges would also match IPv4 addresses mapped into IPv6. */
function subnets(family: 'ipv4' | 'ipv6', ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', prefix] = range.split('/');
    list.addSubnet(network, Number(prefix), family);
  }
  return list;
}
