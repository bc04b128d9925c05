import type { KeyRef } from '../../contract/ref.ts';
import type { Database } from '../../store/database.ts';
import { countRefusedUses } from '../../store/request-records.ts';
import type { Logger } from '../../telemetry/log.ts';

const FLUSH_INTERVAL_MS = 60_000;
const MAX_KEYS = 10_000;

interface Uses {
  /** Uses that are not recorded yet. */
  pending: number;
}

/**
 * Counts the uses of keys that have ended. A leaked key can be used without end, so each use only increments a counter, which is written
 * (and logged) at the first use, then at most once a minute.
 */
export class RefusedUses {
  readonly #database: Database;
  readonly #logger: Logger | undefined;
  readonly #keys = new Map<KeyRef, Uses>();
  readonly #timer: NodeJS.Timeout;

  constructor(database: Database, logger: Logger | undefined) {
    this.#database = database;
    this.#logger = logger;
    this.#timer = setInterval(() => void this.flush(), FLUSH_INTERVAL_MS).unref();
  }

  /** Counts a use; a first use resolves once it is recorded, so that the reason of a failed turn is found. Throws nothing. */
  async record(ref: KeyRef): Promise<void> {
    const known = this.#keys.get(ref);
    if (known !== undefined) {
      known.pending += 1;
      return;
    }
    if (this.#keys.size >= MAX_KEYS) await this.flush();
    const uses = { pending: 1 };
    this.#keys.set(ref, uses);
    await this.#write(ref, uses);
  }

  /** Records the pending uses, and drops the keys without new ones. Throws nothing. */
  async flush(): Promise<void> {
    for (const [ref, uses] of this.#keys) {
      if (uses.pending > 0) await this.#write(ref, uses);
      else this.#keys.delete(ref);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #write(ref: KeyRef, uses: Uses): Promise<void> {
    const { pending } = uses;
    uses.pending = 0;
    this.#logger?.warn({ ref, requests: pending }, 'A key that has ended was used.');
    try {
      await countRefusedUses(this.#database.db, ref, pending);
    } catch (error) {
      uses.pending += pending;
      this.#logger?.warn({ err: error, ref }, 'Uses of a key that has ended are not recorded yet.');
    }
  }
}
