import { describe, expect, it } from 'vitest';

import { proxyEnvironment, proxyFor, readOutboundProxies } from '../../src/outbound/proxies.ts';

const PROXY = 'http://proxy.test:3128';
const through = (url: string, environment: NodeJS.ProcessEnv): string | null => proxyFor(readOutboundProxies(environment), new URL(url));

describe('HTTPS_PROXY and HTTP_PROXY', () => {
  it.each<[string, NodeJS.ProcessEnv, string | null]>([
    ['https://api.test', { HTTPS_PROXY: PROXY }, PROXY],
    ['https://api.test', { https_proxy: PROXY, HTTPS_PROXY: 'http://other.test:1' }, PROXY],
    ['https://api.test', { HTTP_PROXY: PROXY }, null],
    ['http://api.test', { HTTP_PROXY: 'proxy.test:3128' }, PROXY],
    ['http://api.test', { HTTPS_PROXY: PROXY }, null],
    ['https://api.test', { HTTPS_PROXY: '' }, null],
    ['https://localhost:8080', { HTTPS_PROXY: PROXY }, null],
    ['http://127.0.0.3', { HTTP_PROXY: PROXY }, null],
    ['http://[::1]:80', { HTTP_PROXY: PROXY }, null],
  ])('to %s with %o: %s', (url, environment, proxy) => {
    expect(through(url, environment)).toBe(proxy);
  });

  it.each(['ftp://proxy.test', 'http://', 'socks5://proxy.test:1'])(
    'the error for the proxy %s names the variable, not the value',
    (url) => {
      expect(() => readOutboundProxies({ HTTPS_PROXY: url })).toThrow(/^HTTPS_PROXY: must be the URL of a proxy/);
    },
  );
});

describe('NO_PROXY', () => {
  it.each<[string, string, boolean]>([
    ['*', 'https://api.test', true],
    ['api.test', 'https://api.test', true],
    ['api.test', 'https://a.api.test', true],
    ['.api.test', 'https://a.api.test', true],
    ['*.api.test', 'https://a.api.test', true],
    ['api.test', 'https://notapi.test', false],
    ['API.test, other.test', 'https://api.test', true],
    ['api.test:443', 'https://api.test', true],
    ['api.test:8443', 'https://api.test', false],
    ['198.51.0.0/16', 'https://198.51.3.4', true],
    ['198.51.0.0/16', 'https://203.0.113.4', false],
    ['198.51.0.0/99', 'https://198.51.3.4', false],
    ['fd00::/8', 'https://[fd00::1]', true],
    ['fd00::1', 'https://[fd00::1]', true],
  ])('%s: %s is reached directly: %s', (noProxy, url, isDirect) => {
    expect(through(url, { HTTPS_PROXY: PROXY, no_proxy: noProxy })).toBe(isDirect ? null : PROXY);
  });
});

it('other programs get the same proxies, and never reach this host through one', () => {
  expect(proxyEnvironment(readOutboundProxies({ HTTPS_PROXY: PROXY, NO_PROXY: 'a.test' }))).toEqual({
    https_proxy: PROXY,
    no_proxy: 'a.test,localhost,127.0.0.1,::1',
  });
  expect(proxyEnvironment(readOutboundProxies({ NO_PROXY: 'a.test' }))).toEqual({});
});
