import type { KeyRef } from '../../contract/ref.ts';
import type { Database } from '../../store/database.ts';
import { countRefusedUses } from '../../store/request-records.ts';
import type { Logger } from '../../telemetry/log.ts';

const EVERY_MS = 60_000;
const MAX_KEYS = 10_000;

interface Uses {
  /** Not on record yet. */
  pending: number;
}

/**
 * Counts the uses of keys that have ended. A key that leaked can be used for ever, so that costs a counter: written with the first use,
 * then once a minute at most, as is the warning in the log.
 */
export class RefusedUses {
  readonly #database: Database;
  readonly #logger: Logger | undefined;
  readonly #keys = new Map<KeyRef, Uses>();
  readonly #timer: NodeJS.Timeout;

  constructor(database: Database, logger: Logger | undefined) {
    this.#database = database;
    this.#logger = logger;
    this.#timer = setInterval(() => void this.flush(), EVERY_MS).unref();
  }

  /** Resolves once a first use is on record: whoever asks why a turn failed finds it there. Throws nothing. */
  async note(ref: KeyRef): Promise<void> {
    const known = this.#keys.get(ref);
    if (known !== undefined) {
      known.pending += 1;
      return;
    }
    if (this.#keys.size >= MAX_KEYS) await this.flush();
    const uses = { pending: 1 };
    this.#keys.set(ref, uses);
    await this.#record(ref, uses);
  }

  /** Puts on record what is not. A key that was not used meanwhile is forgotten. Throws nothing. */
  async flush(): Promise<void> {
    for (const [ref, uses] of this.#keys) {
      if (uses.pending > 0) await this.#record(ref, uses);
      else this.#keys.delete(ref);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #record(ref: KeyRef, uses: Uses): Promise<void> {
    const { pending } = uses;
    uses.pending = 0;
    this.#logger?.warn({ ref, requests: pending }, 'a key that has ended is used');
    try {
      await countRefusedUses(this.#database.db, ref, pending);
    } catch (error) {
      uses.pending += pending;
      this.#logger?.warn({ err: error, ref }, 'uses of a key that has ended are not on record yet');
    }
  }
}
