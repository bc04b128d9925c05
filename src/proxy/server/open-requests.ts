import type { FailureCode } from '../../contract/errors.ts';
import type { Interruption } from './interruption.ts';

/** A key never becomes active again, so its end may be remembered; this many, the newest. */
const MAX_ENDED = 10_000;

interface OpenKey {
  requests: Set<Interruption>;
  /** When its lease ends as far as this replica knows, ms of `performance.now()`. */
  leaseEndsAtMs: number;
}

/** The requests of this replica that run, by the ref of their key. */
export class OpenRequests {
  readonly #byRef = new Map<string, OpenKey>();
  readonly #ended = new Set<string>();

  /** Requests that run. */
  get count(): number {
    let count = 0;
    for (const { requests } of this.#byRef.values()) count += requests.size;
    return count;
  }

  /**
   * Puts a request on the list; returns what takes it off. One whose key ended while it was being looked up is interrupted at
   * once: the notice and the answer to the look-up come over two connections, in any order. `leaseMs`: until its lease ends.
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

  /** Interrupts what runs with this key, now and later. */
  endKey(ref: string): void {
    this.#ended.add(ref);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= MAX_ENDED) break;
      this.#ended.delete(oldest);
    }
    this.#abort(ref);
  }

  /** Sets when a key's lease ends, `leaseMs` from now. */
  renewLease(ref: string, leaseMs: number): void {
    const open = this.#byRef.get(ref);
    if (open !== undefined) open.leaseEndsAtMs = performance.now() + leaseMs;
  }

  /** Interrupts what runs with keys whose lease is over, whether or not Postgres can be asked. The lease can still be renewed. */
  endExpired(): void {
    const nowMs = performance.now();
    for (const [ref, { leaseEndsAtMs }] of this.#byRef) if (leaseEndsAtMs <= nowMs) this.#abort(ref);
  }

  /** Interrupts everything; the code becomes the reason. */
  endAll(code: FailureCode): void {
    for (const { requests } of this.#byRef.values()) for (const request of requests) request.interrupt(code);
  }

  refs(): string[] {
    return [...this.#byRef.keys()];
  }

  #abort(ref: string): void {
    for (const request of this.#byRef.get(ref)?.requests ?? []) request.interrupt('key_refused');
  }
}
