import type { Database } from '../../store/database.ts';
import { recordCredentialUse, type UpstreamCredential } from '../../store/upstream-credentials.ts';

/** At most one write per version and replica in this time. */
const RECORD_INTERVAL_MS = 60_000;

/** Records when each version of a stored credential was last sent. A use that cannot be recorded is lost: the next one is recorded. */
export class CredentialUses {
  readonly #database: Pick<Database, 'pool'>;
  readonly #recordedAtMs = new WeakMap<UpstreamCredential, number>();

  constructor(database: Pick<Database, 'pool'>) {
    this.#database = database;
  }

  record(credential: UpstreamCredential): void {
    const nowMs = performance.now();
    if (nowMs - (this.#recordedAtMs.get(credential) ?? -Infinity) < RECORD_INTERVAL_MS) return;
    this.#recordedAtMs.set(credential, nowMs);
    recordCredentialUse(this.#database, credential).catch(() => {});
  }
}
