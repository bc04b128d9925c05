import { setTimeout as sleep } from 'node:timers/promises';

import type { Dialect } from '../../contract/dialect.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { completeLogin, type Login } from '../../secrets/login.ts';
import { sealLogin } from '../../secrets/seal-login.ts';
import type { Database } from '../../store/database.ts';
import {
  acquireRefresh,
  deferRefresh,
  markNeedsLogin,
  newestLogin,
  storeRefreshedLogin,
  type LoginVersion,
} from '../../store/login-refreshes.ts';
import type { Logger } from '../../telemetry/log.ts';
import { refreshLogin, type TokenEndpoint } from './token-endpoint.ts';

/** The endpoint answers within a second. */
const REQUEST_TIMEOUT_MS = 10_000;
/** A refresher that ended blocks the others for this long. It is longer than one request, so no two refreshers send the same token. */
const LEASE_MS = 15_000;
const MAX_TRIES = 3;
const RETRY_DELAY_MS = 500;
/** After all tries have failed. */
const COOL_DOWN_MS = 5_000;
const POLL_INTERVAL_MS = 150;
/** Longer than the lease, so that what a refresher left behind is refreshed for the requests that wait. */
const WAIT_TIMEOUT_MS = 25_000;
/** New tokens that are not stored are lost, and with them the login. */
const STORE_TIMEOUT_MS = 300_000;
const STORE_RETRY_DELAY_MS = 250;

/** One version of a stored login, opened. */
export interface OpenedLogin extends LoginVersion {
  login: Login;
}

export interface RefresherOptions {
  /** Names this replica. */
  id: string;
  database: Pick<Database, 'pool'>;
  /** The public key that the new version is sealed for; null where this replica has none. */
  publicKey: () => string | null;
  endpoints: Record<Dialect, TokenEndpoint>;
  logger: Logger | undefined;
}

/**
 * Refreshes logins: each version once, whichever replicas want it. Refresh tokens are single-use and rotating, so
 *
 *     a replica refreshes under a lease on the newest version in Postgres; the others wait for its result, or for the end of the lease,
 *     the new tokens are stored, sealed, as the next version before anybody uses them,
 *     a refresh without an answer is repeated with the same token, soon: the endpoint may never have received it, or may accept it again
 *     for a short time. Where it does not, the new tokens are lost with the answer, and the login needs to be made again.
 */
export class Refresher {
  readonly #options: RefresherOptions;
  /** By the login's name: this replica's requests share one refresh. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(options: RefresherOptions) {
    this.#options = options;
  }

  /**
   * Resolves once a newer version of the login is stored, or it needs to be made again, by whomever. Idempotent on the version; refreshes of
   * one login are shared. @throws `llm_failed` where the token endpoint fails, `database_unreachable`
   */
  refresh(login: OpenedLogin): Promise<void> {
    const key = JSON.stringify([login.provider, login.tenant, login.name]);
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const fresh = this.#refresh(login).finally(() => this.#running.delete(key));
    this.#running.set(key, fresh);
    return fresh;
  }

  /** Waits for the refreshes that run: what they return must be stored. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  async #refresh(login: OpenedLogin): Promise<void> {
    const { id, database } = this.#options;
    const untilMs = performance.now() + WAIT_TIMEOUT_MS;
    for (;;) {
      if (await acquireRefresh(database, login, id, LEASE_MS)) return this.#exchange(login);
      const newest = await newestLogin(database, login);
      if (newest === null || newest.version !== login.version || newest.needsLogin) return;
      if (performance.now() > untilMs) throw failed();
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /** Called by the holder of the lease. */
  async #exchange(login: OpenedLogin): Promise<void> {
    const { id, database, endpoints, publicKey, logger } = this.#options;
    const { provider, tenant, name, version } = login;
    const key = publicKey();
    if (key === null)
      throw new ValetkeyError('sealed_unreadable', 'This gateway has no sealing key, so it cannot store a refreshed login.');
    for (let tries = 1; ; tries += 1) {
      const outcome = await refreshLogin(endpoints[provider], provider, login.login, REQUEST_TIMEOUT_MS);
      if (outcome.kind === 'issued') return this.#store(login, outcome.login, key);
      const log = { provider, tenant, name, version, why: outcome.why, tries };
      if (outcome.kind === 'refused') {
        if (await markNeedsLogin(database, login)) logger?.warn(log, 'The provider refused to refresh a login: it has to be made again.');
        return;
      }
      logger?.warn(log, 'A login could not be refreshed.');
      const isLast = tries >= MAX_TRIES;
      if (isLast) await deferRefresh(database, login, id, COOL_DOWN_MS);
      if (isLast) throw failed();
      await sleep(RETRY_DELAY_MS * tries);
      if (!(await acquireRefresh(database, login, id, LEASE_MS))) throw failed();
    }
  }

  /** Retries for minutes: these tokens are nowhere else, and the ones before are used up. */
  async #store(before: OpenedLogin, issued: Login, publicKey: string): Promise<void> {
    const { database, logger } = this.#options;
    const { provider, tenant, name, version } = before;
    const sealed = await sealLogin(completeLogin(issued), { provider, tenant: tenant ?? '', publicKey });
    const untilMs = performance.now() + STORE_TIMEOUT_MS;
    for (;;) {
      try {
        const isStored = await storeRefreshedLogin(database, before, sealed);
        if (isStored) logger?.info({ provider, tenant, name, version: version + 1 }, 'A login was refreshed.');
        return;
      } catch (error) {
        if (!ValetkeyError.is(error) || performance.now() > untilMs) throw error;
        await sleep(STORE_RETRY_DELAY_MS);
      }
    }
  }
}

function failed(): ValetkeyError {
  return new ValetkeyError('llm_failed', 'The provider’s token endpoint did not refresh the login. Retry later.');
}
