import type { ConnectionOptions } from '@temporalio/client';
import type { NativeConnectionOptions } from '@temporalio/worker';

import { ValetkeyError } from '../contract/errors.ts';
import { trustedCertificates } from '../outbound/certificates.ts';
import { processProxies, proxyFor } from '../outbound/proxies.ts';
import type { TemporalPlace } from './unreachable.ts';

const DEFAULT_ADDRESS = 'localhost:7233';

/** A proxy as both parts of the SDK take it: over http, and nothing else. */
interface TemporalProxy {
  /** Host and port. */
  address: string;
  username: string;
  password: string;
}

/**
 * A client's connection through the proxy that HTTPS_PROXY names. gRPC would read the variables itself, but in lower case only, and would send
 * through it what is for this host. Throws `invalid_config`.
 */
export function clientThroughProxy(options: ConnectionOptions): ConnectionOptions {
  const { address = DEFAULT_ADDRESS, channelArgs } = options;
  const direct = { ...channelArgs, 'grpc.enable_http_proxy': 0 };
  const proxy = temporalProxy(address);
  if (proxy === null) return { ...options, channelArgs: direct };
  const { username, password } = proxy;
  return {
    ...options,
    address: proxy.address,
    channelArgs: {
      ...direct,
      'grpc.http_connect_target': `dns:${address}`,
      'grpc.default_authority': address,
      ...(username === '' ? {} : { 'grpc.http_connect_creds': `${username}:${password}` }),
    },
  };
}

/** The same for a worker's, whose TLS trusts what NODE_EXTRA_CA_CERTS names as well. Throws `invalid_config`. */
export function workerThroughProxy(options: NativeConnectionOptions): NativeConnectionOptions {
  const proxy = temporalProxy(options.address ?? DEFAULT_ADDRESS);
  const certificates = trustedCertificates();
  const tls = options.tls === true ? {} : options.tls;
  const trusts = tls !== undefined && tls !== null && tls !== false && tls.serverRootCACertificate === undefined && certificates !== null;
  return {
    ...options,
    ...(trusts ? { tls: { ...tls, serverRootCACertificate: Buffer.from(certificates) } } : {}),
    ...(proxy === null
      ? {}
      : {
          proxy: {
            type: 'http-connect',
            targetHost: proxy.address,
            ...(proxy.username === '' ? {} : { basicAuth: { username: proxy.username, password: proxy.password } }),
          },
        }),
  };
}

/** Where a connection leads, for an error that says so. Throws `invalid_config`. */
export function temporalPlace({ address = DEFAULT_ADDRESS, tls }: Pick<ConnectionOptions, 'address' | 'tls'>): TemporalPlace {
  return { address, usesTls: tls !== undefined && tls !== null && tls !== false, isProxied: temporalProxy(address) !== null };
}

function temporalProxy(address: string): TemporalProxy | null {
  const url = `https://${address}`;
  const proxy = URL.canParse(url) ? proxyFor(processProxies(), new URL(url)) : null;
  if (proxy === null) return null;
  const { protocol, hostname, port, username, password } = new URL(proxy);
  if (protocol !== 'http:') {
    const message = 'Temporal is reached through a proxy over http only; name its host in NO_PROXY to reach it directly';
    throw new ValetkeyError('invalid_config', `HTTPS_PROXY: ${message}`, [{ path: 'HTTPS_PROXY', message }]);
  }
  return {
    address: `${hostname}:${port === '' ? '80' : port}`,
    username: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
}
