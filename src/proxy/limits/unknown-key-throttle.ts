import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Concurrent look-ups of keys that were not valid recently: the rest of the pool stays free for keys that were. */
const MAX_CONCURRENT_LOOKUPS = 4;
const MAX_WAITING = 2_000;
/** The number of recently valid keys that are remembered. */
const MAX_KNOWN_KEYS = 20_000;
/** A connection gets this many refusals without a delay, then one per interval. */
const REFUSAL_BURST = 20;
const REFUSAL_INTERVAL_MS = 500;
const MAX_DELAY_MS = 5_000;

/**
 * Keeps callers without a valid key from using up the gateway: their look-ups wait in a queue of their own, and a connection that is
 * refused repeatedly is answered more and more slowly. It decides nothing about a key: every key is looked up.
 */
export class UnknownKeyThrottle {
  readonly #known = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  #lookUps = 0;
  /** When the refusals of a connection are without delay again, by connection; ms of `performance.now()`. */
  readonly #refusals = new WeakMap<Socket, number>();

  /** Runs a look-up; that of an unknown key may be queued. Resolves to undefined where the queue is full. Throws what `lookUp` throws. */
  async lookUp<T extends { usable: boolean } | null>(hash: string, lookUp: () => Promise<T>): Promise<T | undefined> {
    if (this.#known.has(hash)) return this.#remember(hash, await lookUp());
    if (this.#lookUps >= MAX_CONCURRENT_LOOKUPS) {
      if (this.#waiting.length >= MAX_WAITING) return undefined;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#lookUps += 1;
    }
    try {
      return this.#remember(hash, await lookUp());
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#lookUps -= 1;
      else next();
    }
  }

  /** Delays a refusal on a connection that had many. */
  async delayRefusal(socket: Socket): Promise<void> {
    const nowMs = performance.now();
    const freeAtMs = Math.max(this.#refusals.get(socket) ?? 0, nowMs - REFUSAL_BURST * REFUSAL_INTERVAL_MS) + REFUSAL_INTERVAL_MS;
    this.#refusals.set(socket, freeAtMs);
    if (freeAtMs > nowMs) await sleep(Math.min(freeAtMs - nowMs, MAX_DELAY_MS), undefined, { ref: false });
  }

  #remember<T extends { usable: boolean } | null>(hash: string, found: T): T {
    if (found?.usable === true) {
      for (const oldest of this.#known) {
        if (this.#known.size < MAX_KNOWN_KEYS) break;
        this.#known.delete(oldest);
      }
      this.#known.add(hash);
    } else {
      this.#known.delete(hash);
    }
    return found;
  }
}
