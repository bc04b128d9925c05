import type { SealOwner, UpstreamKeyOwner } from '../../secrets/seal.ts';
import type { Secret } from '../../secrets/secret.ts';
import type { Unsealer } from '../../secrets/unsealer.ts';
import { openCredential } from './open-credential.ts';

const MAX_OPENED = 1_000;

/**
 * The credentials that are sealed for jobs: each is opened with the first request of its job, and then stays in memory. They are not
 * registered for the masking of logs: there may be one per job, and each would slow every line.
 */
export class SealedCredentials {
  readonly #unsealer: Unsealer;
  /** By the sealed text and its owner, the least recently used first. */
  readonly #opened = new Map<string, Secret>();

  constructor(unsealer: Unsealer) {
    this.#unsealer = unsealer;
  }

  /** Opens what is sealed for a job: its own credential, or the key that a gateway minted for it. Throws `sealed_unreadable`. */
  open(sealed: string, owner: SealOwner | UpstreamKeyOwner): Secret | Promise<Secret> {
    const key = JSON.stringify([sealed, owner]);
    const opened = this.#opened.get(key);
    if (opened === undefined) return this.#open(key, sealed, owner);
    this.#opened.delete(key);
    this.#opened.set(key, opened);
    return opened;
  }

  async #open(key: string, sealed: string, owner: SealOwner | UpstreamKeyOwner): Promise<Secret> {
    const secret = await openCredential(this.#unsealer, sealed, owner);
    for (const oldest of this.#opened.keys()) {
      if (this.#opened.size < MAX_OPENED) break;
      this.#opened.delete(oldest);
    }
    this.#opened.set(key, secret);
    return secret;
  }
}
