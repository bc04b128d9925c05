/** Retries that a provider gets at the most, as a share of the requests that it is sent. */
const SHARE = 0.2;
/** An installation with few requests has this many to begin with, and one more in each so many ms. */
const MOST = 50;
const REFILL_MS = 2_000;

/**
 * Bounds the retries at one upstream, so that a provider that is down gets little more than what it would get anyway: each request earns a
 * fifth of a retry, and time earns one every two seconds.
 */
export class RetryBudget {
  readonly #now: () => number;
  #left = MOST;
  #filledAtMs: number;

  /** `now`: ms of a clock that only goes forward. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#filledAtMs = now();
  }

  /** A request is sent for the first time. */
  earn(): void {
    this.#left = Math.min(MOST, this.#left + SHARE);
  }

  /** Takes one retry; false where none is left. */
  take(): boolean {
    const nowMs = this.#now();
    this.#left = Math.min(MOST, this.#left + (nowMs - this.#filledAtMs) / REFILL_MS);
    this.#filledAtMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
