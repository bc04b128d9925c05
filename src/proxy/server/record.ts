import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError, type FailureCode } from '../../contract/errors.ts';
import type { KeyRef } from '../../contract/ref.ts';
import type { Database } from '../../store/database.ts';
import { appendEvents } from '../../store/events.ts';
import { markFirstUse, suspendKey, unknownRequests } from '../../store/request-records.ts';
import { closeRequests, recordRefusal, type KeyAccess, type RequestEnd } from '../../store/requests.ts';
import type { Logger } from '../../telemetry/log.ts';

const RETRY_DELAY_MS = 500;
/** The record of a successful answer waits this long for others to share its transaction. */
const BATCH_DELAY_MS = 5;
/** How long a caller waits for the end of its answer while Postgres is unreachable. */
const RECORD_TIMEOUT_MS = 10_000;

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

/** Requests of one key that are recorded in one transaction. */
interface Batch {
  ends: (() => RequestEnd)[];
  write(): void;
  written: Promise<void>;
}

export interface RecorderOptions {
  stop: AbortSignal;
  interruptKey: (ref: KeyRef) => void;
  logger?: Logger | undefined;
}

/** Records the ends of requests and what they used. */
export class Recorder {
  readonly #database: Database;
  readonly #logger: Logger | undefined;
  readonly #stop: AbortSignal;
  readonly #batches = new Map<KeyRef, Batch>();
  readonly #firstUses = new Map<string, Promise<void>>();
  readonly #suspended = new Set<KeyRef>();
  readonly #open = new Set<string>();
  #pending = 0;

  readonly #interruptKey: (ref: KeyRef) => void;

  /**
   * `stop` ends the retries: rows that are not recorded then stay open and are charged by their reservations. `interruptKey` interrupts the
   * running requests of a suspended key.
   */
  constructor(database: Database, { stop, interruptKey, logger }: RecorderOptions) {
    this.#database = database;
    this.#stop = stop;
    this.#interruptKey = interruptKey;
    this.#logger = logger;
  }

  /** The number of requests that have ended and are not recorded yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Remembers an open row until its end is recorded; an open row that is not remembered was never sent. */
  opened(id: string): void {
    this.#open.add(id);
  }

  /** Ends the open rows of this replica that it does not remember. Throws `database_unreachable`. */
  async endUnknown(proxy: string): Promise<void> {
    for (const { id, ref } of await unknownRequests(this.#database.db, proxy, [...this.#open]))
      await closeRequests(this.#database.pool, ref, [{ ...NEVER_SENT, id, status: 503, code: 'database_unreachable' }]);
  }

  /** Ends the row of a request that is refused before it is sent. Throws `database_unreachable` after ten seconds, and keeps retrying. */
  async endNeverSent(ref: KeyRef, id: string, { status, code }: { status: number; code: FailureCode }): Promise<void> {
    await this.end(ref, () => ({ ...NEVER_SENT, id, status, code }), { urgent: true });
  }

  /** Returns whether the key is refused because one of its charges could not be recorded. */
  isSuspended(ref: KeyRef): boolean {
    return this.#suspended.has(ref);
  }

  /**
   * Ends a request's row: at once where it is `urgent`, else together with others of its key. Calls `end` when the row is written. Throws
   * `database_unreachable` after ten seconds, and keeps retrying until Postgres has stored it.
   */
  async end(ref: KeyRef, end: () => RequestEnd, { urgent }: { urgent: boolean }): Promise<void> {
    const batch = this.#batches.get(ref) ?? this.#begin(ref);
    batch.ends.push(end);
    this.#pending += 1;
    if (urgent) batch.write();
    await orTimeout(batch.written);
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
    const timer = setTimeout(write, BATCH_DELAY_MS);
    const batch: Batch = { ends, write, written };
    this.#batches.set(ref, batch);
    return batch;
  }

  async #persist(ref: KeyRef, ends: RequestEnd[]): Promise<void> {
    try {
      await this.#retryWhileUnreachable(() => closeRequests(this.#database.pool, ref, ends));
      for (const { id } of ends) this.#open.delete(id);
    } catch (error) {
      if (this.#stop.aborted) throw error;
      this.#logger?.error({ err: error, ref, requests: ends.length }, 'Requests cannot be recorded.');
      // A row that Postgres rejects does not keep the others from being recorded.
      if (ends.length > 1) await Promise.allSettled(ends.map(async (end) => this.#persist(ref, [end])));
      else await this.#suspend(ref);
      throw error;
    }
  }

  /** Fails closed: the row stays open and holds its reservation, and the key is refused: here at once, elsewhere once its row is updated. */
  async #suspend(ref: KeyRef): Promise<void> {
    this.#suspended.add(ref);
    this.#interruptKey(ref);
    this.#logger?.error({ ref }, 'The key is suspended: a charge cannot be recorded.');
    await this.#retryWhileUnreachable(() => suspendKey(this.#database.db, ref));
  }

  async #retryWhileUnreachable(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!ValetkeyError.is(error) || this.#stop.aborted) throw error;
        await sleep(RETRY_DELAY_MS, undefined, { signal: this.#stop });
      }
    }
  }

  /** Records the first use of a key, in parallel with the request. The event comes first: once the time is set, nobody retries. */
  recordFirstUse({ ref, jobId }: Pick<KeyAccess, 'ref' | 'jobId'>): Promise<void> {
    const running = this.#firstUses.get(ref);
    if (running !== undefined) return running;
    const { db } = this.#database;
    const fresh = appendEvents(db, jobId, [{ source: `key.used:${ref}`, body: { type: 'key.used', ref } }])
      .then(() => markFirstUse(db, ref))
      .catch((error: unknown) => this.#logger?.warn({ err: error, ref }, 'The first use of a key is not recorded yet.'))
      .finally(() => this.#firstUses.delete(ref));
    this.#firstUses.set(ref, fresh);
    return fresh;
  }
}

async function orTimeout(written: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new ValetkeyError('database_unreachable', 'Postgres does not answer.')), RECORD_TIMEOUT_MS);
  });
  try {
    await Promise.race([written, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
