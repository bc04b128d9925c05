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
  /** `oauth`: a login to a Claude or ChatGPT plan, for the strategy `subscription`. */
  kind: 'api_key' | 'oauth';
  /**
   * `needs_login`: the provider refused to refresh the login. `expired`: its access token has expired, and it cannot be refreshed. `replaced`:
   * a newer version of the login is in use, whose refresh token is the only valid one. Else `active`.
   */
  state: 'active' | 'expired' | 'needs_login' | 'replaced';
  /** When the access token of a login expires, ISO 8601; null where it does not, or that is unknown. */
  expiresAt: string | null;
  /** ISO 8601. */
  createdAt: string;
  /** When a gateway last sent it to the provider, at most a minute late, ISO 8601; null where none has. */
  lastUsedAt: string | null;
}
