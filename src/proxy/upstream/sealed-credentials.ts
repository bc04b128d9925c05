import type { Dialect } from '../../contract/dialect.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';
import { openCredential } from './open-credential.ts';

const MAX_OPENED = 1_000;

/**
 * The credentials that are sealed in jobs: each is opened with the first request of its job, and then stays in memory. They are not
 * registered for the masking of logs: there may be one per job, and each would slow every line.
 */
export class SealedCredentials {
  readonly #unsealer: Unsealer;
  /** By the sealed text and its owner, the least recently used first. */
  readonly #opened = new Map<string, Secret>();

  constructor(unsealer: Unsealer) {
    this.#unsealer = unsealer;
  }

  /** Opens a job's own credential for its tenant and a provider. Throws `sealed_unreadable`. */
  open(sealed: string, owner: { provider: Dialect; tenant: string }): Secret | Promise<Secret> {
    const key = JSON.stringify([sealed, owner.provider, owner.tenant]);
    const opened = this.#opened.get(key);
    if (opened === undefined) return this.#open(key, sealed, owner);
    this.#opened.delete(key);
    this.#opened.set(key, opened);
    return opened;
  }

  async #open(key: string, sealed: string, owner: { provider: Dialect; tenant: string }): Promise<Secret> {
    const secret = await openCredential(this.#unsealer, sealed, { purpose: 'byok', ...owner });
    for (const oldest of this.#opened.keys()) {
      if (this.#opened.size < MAX_OPENED) break;
      this.#opened.delete(oldest);
    }
    this.#opened.set(key, secret);
    return secret;
  }
}
