import type { Dialect } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { StoredLogin, UpstreamCredentials } from '../upstream/credentials.ts';
import { decideLoginUse, decideRenewal } from './decide-refresh.ts';
import type { Refresher } from './refresher.ts';

/** The logins that requests are sent with: from memory, and refreshed in time. */
export class Subscriptions {
  readonly #credentials: Pick<UpstreamCredentials, 'findLogin' | 'reload'>;
  readonly #refresher: Refresher;

  constructor(credentials: Pick<UpstreamCredentials, 'findLogin' | 'reload'>, refresher: Refresher) {
    this.#credentials = credentials;
    this.#refresher = refresher;
  }

  /**
   * Returns the login to send with a request of a tenant; undefined where there is none that can be opened. Waits only where the access token
   * has expired, or is about to. @throws `credential_needs_login`, `llm_failed`, `database_unreachable`
   */
  find(provider: Dialect, tenant: string, name: string): StoredLogin | undefined | Promise<StoredLogin | undefined> {
    const stored = this.#credentials.findLogin(provider, tenant, name);
    if (stored === undefined) return undefined;
    if (stored.needsLogin) throw needsLogin(stored, 'was refused by the provider when it was refreshed');
    const use = decideLoginUse(timesOf(stored), Date.now());
    switch (use.action) {
      case 'send':
        return stored;
      case 'send-and-refresh':
        // Its failures are logged, and the request that finds the token expired waits for the next attempt.
        this.#refresher.refresh(stored).catch(() => {});
        return stored;
      case 'wait':
        return this.#refreshed(stored);
      case 'end':
        throw needsLogin(stored, 'has expired and has no refresh token');
    }
  }

  /**
   * Returns the login to repeat a request with, after the provider refused the access token of `refused` although it has not expired;
   * undefined where another would not help. @throws what `find` throws
   */
  async renew(refused: StoredLogin): Promise<StoredLogin | undefined> {
    const { provider, tenant, name } = refused;
    const newest = this.#credentials.findLogin(provider, tenant, name);
    if (newest === undefined) return undefined;
    if (newest.version !== refused.version) return this.find(provider, tenant, name);
    const { isRefreshed, createdAt } = refused;
    const { hasRefreshToken } = timesOf(refused);
    const renewal = decideRenewal({ hasRefreshToken, isRefreshed, storedAtMs: createdAt.getTime() }, Date.now());
    return renewal.action === 'refresh' ? this.#refreshed(refused) : undefined;
  }

  async #refreshed(stored: StoredLogin): Promise<StoredLogin | undefined> {
    const { provider, tenant, name, version } = stored;
    await this.#refresher.refresh(stored);
    await this.#credentials.reload();
    const now = this.#credentials.findLogin(provider, tenant, name);
    if (now?.needsLogin === true) throw needsLogin(now, 'was refused by the provider when it was refreshed');
    return now?.version === version ? undefined : now;
  }
}

function timesOf({ login: { expiresAt, refreshToken } }: StoredLogin): { expiresAtMs: number | null; hasRefreshToken: boolean } {
  return { expiresAtMs: expiresAt ?? null, hasRefreshToken: refreshToken !== undefined };
}

function needsLogin({ name, tenant }: StoredLogin, why: string): ValetkeyError {
  return new ValetkeyError('credential_needs_login', `The login ${name} of the tenant ${tenant} ${why}. Log in to the plan again.`);
}
