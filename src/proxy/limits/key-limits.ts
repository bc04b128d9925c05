import { refusal, type Refusal } from '../server/refusal.ts';

export interface KeyLimitOptions {
  /** For one key, on this replica. */
  requestsPerMinute: number;
  concurrentRequests: number;
  /** For all keys together. */
  totalConcurrentRequests: number;
}

interface Account {
  running: number;
  /** When a refusal was last recorded, ms. */
  refusedAtMs: number;
  /** Requests that may start at once; refilled within a minute. */
  tokens: number;
  filledAtMs: number;
}

/** Above this number, accounts of idle keys are dropped: a refilled account equals a new one. */
const MAX_ACCOUNTS = 10_000;
const MINUTE_MS = 60_000;
/** At most one refusal per key is recorded in this time. */
const REFUSAL_RECORD_INTERVAL_MS = 10_000;
/** The largest share of the replica's concurrent requests that one tenant may take. */
const MAX_TENANT_SHARE = 0.5;

/** Limits the requests of each key, of each tenant, and of all together. */
export class KeyLimits {
  readonly #options: KeyLimitOptions;
  readonly #now: () => number;
  readonly #accounts = new Map<string, Account>();
  readonly #byTenant = new Map<string, number>();
  #running = 0;

  /** `now` returns the ms of a monotonic clock. */
  constructor(options: KeyLimitOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
  }

  /** Returns whether a request of a key could start now. */
  hasRoom(ref: string): boolean {
    const { running, tokens } = this.#account(ref);
    return tokens >= 1 && running < this.#options.concurrentRequests && this.#running < this.#options.totalConcurrentRequests;
  }

  /** Returns whether a refusal of a key is to be recorded: the first one within ten seconds. */
  isFirstRefusal(ref: string): boolean {
    const account = this.#account(ref);
    const isFirst = this.#now() - account.refusedAtMs >= REFUSAL_RECORD_INTERVAL_MS;
    if (isFirst) account.refusedAtMs = this.#now();
    return isFirst;
  }

  /** Starts a request of a key; returns the function that ends it, or a refusal where a limit is reached. */
  enter(ref: string, tenant: string): (() => void) | Refusal {
    const { requestsPerMinute, concurrentRequests, totalConcurrentRequests } = this.#options;
    const account = this.#account(ref);
    const ofTenant = this.#byTenant.get(tenant) ?? 0;
    if (this.#running >= totalConcurrentRequests || ofTenant >= Math.ceil(totalConcurrentRequests * MAX_TENANT_SHARE))
      return refusal('rate_limited', 'The gateway has too many requests in flight.');
    if (account.running >= concurrentRequests)
      return refusal('rate_limited', `The key has reached its limit of ${concurrentRequests} requests in flight.`);
    if (account.tokens < 1) {
      const retryAfterMs = ((1 - account.tokens) * MINUTE_MS) / requestsPerMinute;
      return { ...refusal('rate_limited', `The key has reached its limit of ${requestsPerMinute} requests per minute.`), retryAfterMs };
    }
    account.tokens -= 1;
    account.running += 1;
    this.#running += 1;
    this.#byTenant.set(tenant, ofTenant + 1);
    return () => {
      account.running -= 1;
      this.#running -= 1;
      const left = (this.#byTenant.get(tenant) ?? 1) - 1;
      if (left === 0) this.#byTenant.delete(tenant);
      else this.#byTenant.set(tenant, left);
    };
  }

  #account(ref: string): Account {
    const { requestsPerMinute } = this.#options;
    const nowMs = this.#now();
    const known = this.#accounts.get(ref);
    if (known !== undefined) {
      const filled = known.tokens + ((nowMs - known.filledAtMs) / MINUTE_MS) * requestsPerMinute;
      known.tokens = Math.min(requestsPerMinute, filled);
      known.filledAtMs = nowMs;
      return known;
    }
    if (this.#accounts.size >= MAX_ACCOUNTS) this.#forgetIdle(nowMs);
    const account = { running: 0, refusedAtMs: Number.NEGATIVE_INFINITY, tokens: requestsPerMinute, filledAtMs: nowMs };
    this.#accounts.set(ref, account);
    return account;
  }

  #forgetIdle(nowMs: number): void {
    for (const [ref, { running, filledAtMs }] of this.#accounts) {
      if (running === 0 && nowMs - filledAtMs > MINUTE_MS) this.#accounts.delete(ref);
    }
  }
}
