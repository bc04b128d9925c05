/** The part of a retry that each request earns. */
const RETRIES_PER_REQUEST = 0.2;
/** The budget starts full, for installations with few requests. */
const MAX_RETRIES = 50;
/** One retry is earned in this time without any request. */
const MS_PER_RETRY = 2_000;

/**
 * Limits the retries at one upstream, so that a provider that is down gets little more load than usual: each request earns a fifth of a
 * retry, and one more is earned every two seconds.
 */
export class RetryBudget {
  readonly #now: () => number;
  #left = MAX_RETRIES;
  #filledAtMs: number;

  /** `now` returns the ms of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#filledAtMs = now();
  }

  /** Adds the part of a retry that a request earns when it is first sent. */
  earn(): void {
    this.#left = Math.min(MAX_RETRIES, this.#left + RETRIES_PER_REQUEST);
  }

  /** Takes one retry; returns false where none is left. */
  take(): boolean {
    const nowMs = this.#now();
    this.#left = Math.min(MAX_RETRIES, this.#left + (nowMs - this.#filledAtMs) / MS_PER_RETRY);
    this.#filledAtMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
