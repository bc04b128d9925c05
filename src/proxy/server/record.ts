import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError, type FailureCode } from '../../contract/errors.ts';
import type { KeyRef } from '../../contract/ref.ts';
import type { Database } from '../../store/database.ts';
import { appendEvents } from '../../store/events.ts';
import { markFirstUse, suspendKey, unknownRequests } from '../../store/request-records.ts';
import { closeRequests, recordRefusal, type KeyAccess, type RequestEnd } from '../../store/requests.ts';
import type { Logger } from '../../telemetry/log.ts';

const RETRY_MS = 500;
/** How long the record of a good answer waits for others, and lets the caller's next request pass. */
const GATHER_MS = 5;
/** How long a caller waits for the end of its answer while Postgres is away. */
const MAX_WAIT_MS = 10_000;

const NEVER_SENT: Omit<RequestEnd, 'id' | 'status' | 'code'> = {
  model: null,
  inputTokens: 0,
  outputTokens: 0,
  usd: 0,
  estimated: false,
  implausible: false,
  stop: null,
  tries: 0,
  forwarded: false,
};

/** Requests of one key that are put on record together. */
interface Batch {
  ends: (() => RequestEnd)[];
  write(): void;
  written: Promise<void>;
}

export interface RecorderOptions {
  stop: AbortSignal;
  endKey: (ref: KeyRef) => void;
  logger?: Logger | undefined;
}

/** Writes down what was used. */
export class Recorder {
  readonly #database: Database;
  readonly #logger: Logger | undefined;
  readonly #stop: AbortSignal;
  readonly #batches = new Map<KeyRef, Batch>();
  readonly #firstUses = new Map<string, Promise<void>>();
  readonly #suspended = new Set<KeyRef>();
  readonly #open = new Set<string>();
  #pending = 0;

  readonly #endKey: (ref: KeyRef) => void;

  /**
   * `stop` ends the repetition: what is not on record then stays open, and is charged by its reservation. `endKey` cuts what runs with a key
   * that is suspended.
   */
  constructor(database: Database, { stop, endKey, logger }: RecorderOptions) {
    this.#database = database;
    this.#stop = stop;
    this.#endKey = endKey;
    this.#logger = logger;
  }

  /** Requests that are over and not on record yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Remembers a request that is open, until its end is on record; one that nobody remembers was never sent. */
  opened(id: string): void {
    this.#open.add(id);
  }

  /** Ends those that this replica opened and does not know of. Throws `database_unreachable`. */
  async endUnknown(proxy: string): Promise<void> {
    for (const { id, ref } of await unknownRequests(this.#database.db, proxy, [...this.#open]))
      await closeRequests(this.#database.pool, ref, [{ ...NEVER_SENT, id, status: 503, code: 'database_unreachable' }]);
  }

  /** Ends the row of a request that is refused before it is sent. Throws `database_unreachable` after ten seconds, and goes on trying. */
  async endNeverSent(ref: KeyRef, id: string, { status, code }: { status: number; code: FailureCode }): Promise<void> {
    await this.end(ref, () => ({ ...NEVER_SENT, id, status, code }), { urgent: true });
  }

  /** A charge of this key could not be recorded, so it is refused. */
  isSuspended(ref: KeyRef): boolean {
    return this.#suspended.has(ref);
  }

  /**
   * Ends a request's row, at once where it is `urgent`, else with others of its key; repeats until Postgres takes it. `end` is
   * asked when it is written. Throws `database_unreachable` after ten seconds, and goes on trying.
   */
  async end(ref: KeyRef, end: () => RequestEnd, { urgent }: { urgent: boolean }): Promise<void> {
    const batch = this.#batches.get(ref) ?? this.#begin(ref);
    batch.ends.push(end);
    this.#pending += 1;
    if (urgent) batch.write();
    await orTooLong(batch.written);
  }

  /** Records a request that was refused before its row was opened. Throws `database_unreachable`. */
  async refused(
    { ref }: Pick<KeyAccess, 'ref'>,
    refused: { protocol: string; proxy: string; model: string | null; status: number; code: FailureCode },
  ): Promise<void> {
    await recordRefusal(this.#database.pool, { ref, ...refused });
  }

  #begin(ref: KeyRef): Batch {
    const { promise: written, resolve } = Promise.withResolvers<void>();
    const ends: Batch['ends'] = [];
    const write = (): void => {
      clearTimeout(timer);
      this.#batches.delete(ref);
      resolve(
        this.#persist(
          ref,
          ends.map((end) => end()),
        ).finally(() => (this.#pending -= ends.length)),
      );
    };
    const timer = setTimeout(write, GATHER_MS);
    const batch: Batch = { ends, write, written };
    this.#batches.set(ref, batch);
    return batch;
  }

  async #persist(ref: KeyRef, ends: RequestEnd[]): Promise<void> {
    try {
      await this.#untilTaken(() => closeRequests(this.#database.pool, ref, ends));
      for (const { id } of ends) this.#open.delete(id);
    } catch (error) {
      if (this.#stop.aborted) throw error;
      this.#logger?.error({ err: error, ref, requests: ends.length }, 'requests cannot be put on record');
      // One that Postgres does not take keeps no other from its record.
      if (ends.length > 1) await Promise.allSettled(ends.map(async (end) => this.#persist(ref, [end])));
      else await this.#suspend(ref);
      throw error;
    }
  }

  /** Fails closed: the row stays open and holds its reservation, and the key is refused, here at once and everywhere with its row. */
  async #suspend(ref: KeyRef): Promise<void> {
    this.#suspended.add(ref);
    this.#endKey(ref);
    this.#logger?.error({ ref }, 'the key is suspended: a charge cannot be recorded');
    await this.#untilTaken(() => suspendKey(this.#database.db, ref));
  }

  async #untilTaken(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!ValetkeyError.is(error) || this.#stop.aborted) throw error;
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

async function orTooLong(written: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new ValetkeyError('database_unreachable', 'Postgres does not answer.')), MAX_WAIT_MS);
  });
  try {
    await Promise.race([written, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
