import type { Dialect } from '../../contract/dialect.ts';
import type { ExternalGatewayName } from '../../contract/gateway-name.ts';
import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { BodyMemoryLimits } from '../body/memory.ts';
import type { KeyLimitOptions } from '../limits/key-limits.ts';
import type { ConnectionLimits } from './connections.ts';

/** A provider, and the credential for tenants without one of their own; where it is absent, their requests are refused. */
export interface UpstreamSettings {
  /** Without a trailing slash and without `/v1`. */
  baseUrl: string;
  credential?: Secret | undefined;
  /** Headers that every request gets: a gateway of the operator's own may need them. */
  headers?: Record<string, string>;
}

/** Limits per minute over all replicas; undefined where there is none. */
export interface RateSettings {
  tenantRequests: number;
  upstreamRequests: number;
  tenantTokens: number | undefined;
  upstreamTokens: number | undefined;
}

/** Settings of a proxy: its listeners, its upstreams and its limits. */
export interface ProxySettings {
  host: string;
  /** 0 chooses a free port. */
  port: number;
  /** Directory of the unix socket: only this directory is mounted into sandboxes. */
  socketDir: string;
  /** Address and port of the server for operators; undefined where there is none. */
  adminAddress: string | undefined;
  /** A request is aborted after this time without a byte from the provider. */
  idleTimeoutMs: number;
  /** How long an answer is read for its usage after the caller has disconnected. */
  drainTimeoutMs: number;
  /** How often a request is sent to a provider with transient failures, the first try included. */
  maxTries: number;
  connections: ConnectionLimits;
  bodies: BodyMemoryLimits;
  keys: KeyLimitOptions;
  rates: RateSettings;
  /** The HTTP proxies through which the providers are reached. */
  outbound: OutboundProxies;
  anthropic: UpstreamSettings;
  openai: UpstreamSettings;
  /** Where ChatGPT plans are served, without a trailing slash and without `/responses`. */
  chatgptUrl: string;
  /** Where logins to plans are refreshed. */
  tokenUrls: Record<Dialect, string>;
  /** The gateways of third parties; absent where one is not configured. */
  gateways: Partial<Record<ExternalGatewayName, Omit<UpstreamSettings, 'credential'>>>;
}
