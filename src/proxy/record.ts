import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../job/errors.ts';
import type { KeyRef } from '../job/ref.ts';
import type { Database } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import { closeRequests, markFirstUse, type KeyAccess, type RequestEnd } from '../store/requests.ts';
import type { Logger } from '../telemetry/log.ts';

const RETRY_MS = 500;
/** How long the record of a good answer waits for others, and lets the caller's next request pass. */
const GATHER_MS = 5;
/** How long a caller waits for the end of its answer while Postgres is away. */
const MAX_WAIT_MS = 10_000;

/** Requests of one key that are put on record together. */
interface Batch {
  ends: (() => RequestEnd)[];
  write(): void;
  written: Promise<number | null>;
}

/** Writes down what was used. */
export class Recorder {
  readonly #database: Database;
  readonly #logger: Logger | undefined;
  readonly #stop: AbortSignal;
  readonly #batches = new Map<KeyRef, Batch>();
  readonly #firstUses = new Map<string, Promise<void>>();

  /** `stop` ends the repetition: what is not on record then is lost. */
  constructor(database: Database, stop: AbortSignal, logger?: Logger) {
    this.#database = database;
    this.#stop = stop;
    this.#logger = logger;
  }

  /**
   * Ends a request's row, at once where it is `urgent`, else with others of its key; repeats until Postgres takes it. `end` is
   * asked when it is written. Resolves to what the job has spent then, USD, null where that is not known. Throws
   * `database_unreachable` after ten seconds, and goes on trying.
   */
  async end(ref: KeyRef, end: () => RequestEnd, { urgent }: { urgent: boolean }): Promise<number | null> {
    const batch = this.#batches.get(ref) ?? this.#begin(ref);
    batch.ends.push(end);
    if (urgent) batch.write();
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new ValetkeyError('database_unreachable', 'Postgres does not answer')), MAX_WAIT_MS);
    });
    try {
      return await Promise.race([batch.written, tooLong]);
    } finally {
      clearTimeout(timer);
    }
  }

  #begin(ref: KeyRef): Batch {
    const { promise: written, resolve } = Promise.withResolvers<number | null>();
    const ends: Batch['ends'] = [];
    const write = (): void => {
      clearTimeout(timer);
      this.#batches.delete(ref);
      resolve(
        this.#persist(
          ref,
          ends.map((end) => end()),
        ),
      );
    };
    const timer = setTimeout(write, GATHER_MS);
    const batch: Batch = { ends, write, written };
    this.#batches.set(ref, batch);
    return batch;
  }

  async #persist(ref: KeyRef, ends: RequestEnd[]): Promise<number | null> {
    for (;;) {
      try {
        return await closeRequests(this.#database.pool, ref, ends);
      } catch (error) {
        if (!ValetkeyError.is(error) || this.#stop.aborted) {
          this.#logger?.error({ err: error, ref, requests: ends.length }, 'requests could not be put on record');
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
