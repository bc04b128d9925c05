import { BlockList, isIP } from 'node:net';

import { ValetkeyError } from '../contract/errors.ts';

/** The proxies of a process, by the variables that other programs read, too. */
export interface OutboundProxies {
  /** URL for https and for Temporal; null: none. */
  https: string | null;
  /** URL for http; null: none. */
  http: string | null;
  /** The unparsed value: names, domains, addresses and networks that are reached directly, separated by commas. */
  noProxy: string;
}

const LOOPBACK = ['localhost', '127.0.0.0/8', '::1'];

/**
 * Reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY. The lower-case names take precedence, as with curl. Throws `invalid_config`, which
 * names the variable and never its value, since that can hold a password.
 */
export function readOutboundProxies(environment: NodeJS.ProcessEnv): OutboundProxies {
  return {
    https: proxyUrl(environment, 'HTTPS_PROXY'),
    http: proxyUrl(environment, 'HTTP_PROXY'),
    noProxy: valueOf(environment, 'NO_PROXY') ?? '',
  };
}

/** Reads the proxies of this process. Throws `invalid_config`. */
export function processProxies(): OutboundProxies {
  return readOutboundProxies(process.env);
}

/** Returns the proxy for a URL; null where it is reached directly, as this host itself always is. */
export function proxyFor({ https, http, noProxy }: OutboundProxies, url: URL): string | null {
  const proxy = url.protocol === 'https:' ? https : http;
  return proxy === null || isDirect([...LOOPBACK, ...noProxy.split(/[\s,]+/)], url) ? null : proxy;
}

/** Returns the variables with which programs such as git and curl use the same proxies. */
export function proxyEnvironment({ https, http, noProxy }: OutboundProxies): Record<string, string> {
  if (https === null && http === null) return {};
  const direct = [noProxy, 'localhost', '127.0.0.1', '::1'].filter((entry) => entry !== '').join(',');
  return { ...(https === null ? {} : { https_proxy: https }), ...(http === null ? {} : { http_proxy: http }), no_proxy: direct };
}

function proxyUrl(environment: NodeJS.ProcessEnv, name: string): string | null {
  const value = valueOf(environment, name);
  if (value === undefined) return null;
  // Like curl, a proxy without a scheme is reached over http.
  const text = value.includes('://') ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.hostname !== '') return url.href.replace(/\/$/, '');
  const message = 'must be the URL of a proxy, like http://proxy.example.com:3128';
  throw new ValetkeyError('invalid_config', `${name}: ${message}.`, [{ path: name, message }]);
}

function valueOf(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  return [environment[name.toLowerCase()], environment[name]].find((value) => value !== undefined && value !== '');
}

function isDirect(entries: readonly string[], { hostname, port, protocol }: URL): boolean {
  const host = hostname
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
  const ownPort = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  return entries.some((entry) => {
    const [, name = '', entryPort] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(isIP(entry) === 6 ? `[${entry}]` : entry) ?? [];
    if (name === '' || (entryPort !== undefined && entryPort !== ownPort)) return false;
    if (name === '*') return true;
    if (isIP(host) !== 0) return name === host || isInNetwork(name, host);
    const domain = name.replace(/^\*?\./, '').toLowerCase();
    return host === domain || host.endsWith(`.${domain}`);
  });
}

function isInNetwork(network: string, address: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const family = isIP(base) === 4 ? 'ipv4' : 'ipv6';
  if (!/^\d{1,3}$/.test(bits) || isIP(base) === 0 || isIP(base) !== isIP(address) || Number(bits) > (family === 'ipv4' ? 32 : 128))
    return false;
  const list = new BlockList();
  list.addSubnet(base, Number(bits), family);
  return list.check(address, family);
}
