import type { OutboundProxies } from '../../outbound/proxies.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { BodyMemoryLimits } from '../body/memory.ts';
import type { KeyLimitOptions } from '../limits/key-limits.ts';
import type { ConnectionLimits } from './connections.ts';

/** A provider, and the credential for those tenants that have none of their own; absent: they are refused. */
export interface UpstreamSettings {
  /** Without a trailing slash and without `/v1`. */
  baseUrl: string;
  credential?: Secret | undefined;
}

/** Per minute, over all replicas; undefined: no limit. */
export interface RateSettings {
  tenantRequests: number;
  upstreamRequests: number;
  tenantTokens: number | undefined;
  upstreamTokens: number | undefined;
}

/** How a proxy listens, where it sends, and what it lets pass. */
export interface ProxySettings {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Directory of the unix socket: only this directory is mounted into sandboxes. */
  socketDir: string;
  /** Address and port for operators; undefined: none. */
  adminAddress: string | undefined;
  /** Without a byte from the provider for so long a request is given up. */
  idleTimeoutMs: number;
  /** How long an answer whose caller left is read on, for its usage. */
  drainTimeoutMs: number;
  /** How often a request is sent to a provider that fails for a moment, the first time included. */
  maxTries: number;
  connections: ConnectionLimits;
  bodies: BodyMemoryLimits;
  keys: KeyLimitOptions;
  rates: RateSettings;
  /** What the providers are reached through. */
  outbound: OutboundProxies;
  anthropic: UpstreamSettings;
  openai: UpstreamSettings;
}
