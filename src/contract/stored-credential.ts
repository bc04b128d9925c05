import type { Dialect } from './dialect.ts';

/** One version of a stored credential, without its content. */
export interface StoredCredential {
  /** The provider that it is for. */
  provider: Dialect;
  /** The tenant that owns it; null for the organization. */
  tenant: string | null;
  /** Its name; `default` for the one that the strategy `gateway` uses. */
  name: string;
  /** Number of the version, from 1. The newest that the gateways can open is in use. */
  version: number;
  /** ISO 8601. */
  createdAt: string;
  /** When a gateway last sent it to the provider, at most a minute late, ISO 8601; null where none has. */
  lastUsedAt: string | null;
}
