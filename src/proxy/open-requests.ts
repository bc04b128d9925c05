import type { FailureCode } from '../job/errors.ts';

/** A key never comes back to life, so its end may be remembered; this many, the newest. */
const MAX_ENDED = 10_000;

/** The requests of this replica that run, by the ref of their key. */
export class OpenRequests {
  readonly #byRef = new Map<string, Set<AbortController>>();
  readonly #ended = new Set<string>();

  /**
   * Puts a request on the list; returns what takes it off. One whose key ended while it was being looked up is aborted at
   * once: the notice and the answer to the look-up come over two connections, in any order.
   */
  add(ref: string, request: AbortController): () => void {
    const requests = this.#byRef.get(ref) ?? new Set();
    this.#byRef.set(ref, requests.add(request));
    if (this.#ended.has(ref)) request.abort('key_refused' satisfies FailureCode);
    return () => {
      requests.delete(request);
      if (requests.size === 0) this.#byRef.delete(ref);
    };
  }

  /** Aborts what runs with this key, now and later. */
  endKey(ref: string): void {
    this.#ended.add(ref);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= MAX_ENDED) break;
      this.#ended.delete(oldest);
    }
    for (const request of this.#byRef.get(ref) ?? []) request.abort('key_refused' satisfies FailureCode);
  }

  /** Aborts everything; the code becomes the reason. */
  endAll(code: FailureCode): void {
    for (const requests of this.#byRef.values()) for (const request of requests) request.abort(code);
  }

  refs(): string[] {
    return [...this.#byRef.keys()];
  }
}
