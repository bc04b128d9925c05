import type { FailureCode } from '../../contract/errors.ts';
import type { Interruption } from './interruption.ts';

/** The number of ended keys that are remembered, the newest: an ended key never becomes active again. */
const MAX_ENDED_KEYS = 10_000;

interface OpenKey {
  requests: Set<Interruption>;
  /** When the lease ends as far as this replica knows, in ms of `performance.now()`. */
  leaseEndsAtMs: number;
}

/** The running requests of this replica, by the ref of their key. */
export class OpenRequests {
  readonly #byRef = new Map<string, OpenKey>();
  readonly #ended = new Set<string>();

  /** The number of running requests. */
  get count(): number {
    let count = 0;
    for (const { requests } of this.#byRef.values()) count += requests.size;
    return count;
  }

  /**
   * Adds a request; returns the function that removes it. A request whose key ended during its look-up is interrupted at once: the notice
   * and the answer to the look-up arrive over two connections, in any order. `leaseMs` is the time until the key's lease ends.
   */
  add(ref: string, leaseMs: number, request: Interruption): () => void {
    const open = this.#byRef.get(ref) ?? { requests: new Set(), leaseEndsAtMs: 0 };
    open.leaseEndsAtMs = Math.max(open.leaseEndsAtMs, performance.now() + leaseMs);
    this.#byRef.set(ref, open);
    open.requests.add(request);
    if (this.#ended.has(ref)) request.interrupt('key_refused');
    return () => {
      open.requests.delete(request);
      if (open.requests.size === 0 && this.#byRef.get(ref) === open) this.#byRef.delete(ref);
    };
  }

  /** Interrupts the requests of a key that has ended, those running now and those added later. */
  interruptKey(ref: string): void {
    this.#ended.add(ref);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= MAX_ENDED_KEYS) break;
      this.#ended.delete(oldest);
    }
    this.#interrupt(ref);
  }

  /** Sets the end of a key's lease to `leaseMs` from now. */
  renewLease(ref: string, leaseMs: number): void {
    const open = this.#byRef.get(ref);
    if (open !== undefined) open.leaseEndsAtMs = performance.now() + leaseMs;
  }

  /** Interrupts the requests of keys whose lease has ended, even while Postgres is unreachable. Such a lease can still be renewed. */
  interruptExpired(): void {
    const nowMs = performance.now();
    for (const [ref, { leaseEndsAtMs }] of this.#byRef) if (leaseEndsAtMs <= nowMs) this.#interrupt(ref);
  }

  /** Interrupts all requests for the reason `code`. */
  interruptAll(code: FailureCode): void {
    for (const { requests } of this.#byRef.values()) for (const request of requests) request.interrupt(code);
  }

  refs(): string[] {
    return [...this.#byRef.keys()];
  }

  #interrupt(ref: string): void {
    for (const request of this.#byRef.get(ref)?.requests ?? []) request.interrupt('key_refused');
  }
}
