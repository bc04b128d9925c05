import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Look-ups at once of keys that were not good lately: the rest of the pool stays free for those that were. */
const MAX_LOOKUPS = 4;
const MAX_WAITING = 2_000;
/** Keys that were good lately. */
const MAX_KNOWN = 20_000;
/** Refusals that a connection gets at once, and how soon each further one. */
const FREE_REFUSALS = 20;
const REFUSAL_EVERY_MS = 500;
const MAX_DELAY_MS = 5_000;

/**
 * Keeps callers without a good key from using up the gateway: their look-ups wait in a line of their own, and a connection that is refused
 * again and again is answered more and more slowly. It decides nothing about a key: each is looked up.
 */
export class Strangers {
  readonly #known = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  #lookUps = 0;
  /** By connection, when its refusals are free again; ms of `performance.now()`. */
  readonly #refusals = new WeakMap<Socket, number>();

  /** Runs a look-up; one of an unknown key after others. Undefined: too many wait. Throws what `lookUp` throws. */
  async lookUp<T extends { usable: boolean } | null>(hash: string, lookUp: () => Promise<T>): Promise<T | undefined> {
    if (this.#known.has(hash)) return this.#remember(hash, await lookUp());
    if (this.#lookUps >= MAX_LOOKUPS) {
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

  /** Waits before a refusal is sent, where the connection had many. */
  async slowDown(socket: Socket): Promise<void> {
    const nowMs = performance.now();
    const freeAtMs = Math.max(this.#refusals.get(socket) ?? 0, nowMs - FREE_REFUSALS * REFUSAL_EVERY_MS) + REFUSAL_EVERY_MS;
    this.#refusals.set(socket, freeAtMs);
    if (freeAtMs > nowMs) await sleep(Math.min(freeAtMs - nowMs, MAX_DELAY_MS), undefined, { ref: false });
  }

  #remember<T extends { usable: boolean } | null>(hash: string, found: T): T {
    if (found?.usable === true) {
      for (const oldest of this.#known) {
        if (this.#known.size < MAX_KNOWN) break;
        this.#known.delete(oldest);
      }
      this.#known.add(hash);
    } else {
      this.#known.delete(hash);
    }
    return found;
  }
}
