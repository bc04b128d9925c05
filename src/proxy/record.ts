import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../job/errors.ts';
import type { Database } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import { closeRequest, markFirstUse, type KeyAccess, type RequestEnd } from '../store/requests.ts';
import type { Logger } from '../telemetry/log.ts';

const RETRY_MS = 500;
/** How long a caller waits for the end of its answer while Postgres is away. */
const MAX_WAIT_MS = 10_000;

/** Writes down what was used. */
export class Recorder {
  readonly #database: Database;
  readonly #logger: Logger | undefined;
  readonly #stop: AbortSignal;
  readonly #firstUses = new Map<string, Promise<void>>();

  /** `stop` ends the repetition: what is not on record then is lost. */
  constructor(database: Database, stop: AbortSignal, logger?: Logger) {
    this.#database = database;
    this.#stop = stop;
    this.#logger = logger;
  }

  /**
   * Ends a request's row; repeats until Postgres takes it. Resolves to what the key has spent then, USD, null where that is
   * not known. Throws `database_unreachable` after ten seconds, and goes on trying.
   */
  async end(requestId: string, end: RequestEnd): Promise<number | null> {
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new ValetkeyError('database_unreachable', 'Postgres does not answer')), MAX_WAIT_MS);
    });
    try {
      return await Promise.race([this.#persist(requestId, end), tooLong]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #persist(requestId: string, end: RequestEnd): Promise<number | null> {
    for (;;) {
      try {
        return await closeRequest(this.#database.pool, requestId, end);
      } catch (error) {
        if (!ValetkeyError.is(error) || this.#stop.aborted) {
          this.#logger?.error({ err: error, requestId }, 'a request could not be put on record');
          throw error;
        }
        await sleep(RETRY_MS, undefined, { signal: this.#stop });
      }
    }
  }

  /** Puts the first use of a key on record, beside the request. The event first: with the time set, nobody tries again. */
  firstUse({ ref, jobId }: Pick<KeyAccess, 'ref' | 'jobId'>): Promise<void> {
    const running = this.#firstUses.get(ref);
    if (running !== undefined) return running;
    const { db } = this.#database;
    const fresh = appendEvents(db, jobId, [{ source: `key.used:${ref}`, body: { type: 'key.used', ref } }])
      .then(() => markFirstUse(db, ref))
      .catch((error: unknown) => this.#logger?.warn({ err: error, ref }, 'the first use of a key is not on record yet'))
      .finally(() => this.#firstUses.delete(ref));
    this.#firstUses.set(ref, fresh);
    return fresh;
  }
}
