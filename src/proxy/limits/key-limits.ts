import { refusal, type Refusal } from '../server/refusal.ts';

export interface KeyLimitOptions {
  /** Of one key, on this replica. */
  requestsPerMinute: number;
  concurrentRequests: number;
  /** Of all keys. */
  totalConcurrentRequests: number;
}

interface Account {
  running: number;
  /** When a refusal was reported last, ms. */
  refusedAtMs: number;
  /** Requests that may begin at once; a minute fills it up again. */
  tokens: number;
  filledAtMs: number;
}

/** Accounts of keys that are idle: a full one says nothing that a new one would not. */
const MAX_ACCOUNTS = 10_000;
const MINUTE_MS = 60_000;
/** A key that is refused again and again has one of its refusals on record in so long. */
const REFUSAL_EVERY_MS = 10_000;
/** Of the places of the replica, the share that one tenant may take. */
const TENANT_SHARE = 0.5;

/** Bounds the requests of each key, and of all of them. */
export class KeyLimits {
  readonly #options: KeyLimitOptions;
  readonly #now: () => number;
  readonly #accounts = new Map<string, Account>();
  readonly #byTenant = new Map<string, number>();
  #running = 0;

  /** `now`: ms of a clock that only goes forward. */
  constructor(options: KeyLimitOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
  }

  /** Whether a request of a key could begin now. */
  hasRoom(ref: string): boolean {
    const { running, tokens } = this.#account(ref);
    return tokens >= 1 && running < this.#options.concurrentRequests && this.#running < this.#options.totalConcurrentRequests;
  }

  /** Whether a refusal of a key is one to put on record: the first in a while. */
  isFirstRefusal(ref: string): boolean {
    const account = this.#account(ref);
    const isFirst = this.#now() - account.refusedAtMs >= REFUSAL_EVERY_MS;
    if (isFirst) account.refusedAtMs = this.#now();
    return isFirst;
  }

  /** Lets a request of a key begin; returns what ends it, or why it may not. */
  enter(ref: string, tenant: string): (() => void) | Refusal {
    const { requestsPerMinute, concurrentRequests, totalConcurrentRequests } = this.#options;
    const account = this.#account(ref);
    const ofTenant = this.#byTenant.get(tenant) ?? 0;
    if (this.#running >= totalConcurrentRequests || ofTenant >= Math.ceil(totalConcurrentRequests * TENANT_SHARE))
      return refusal('rate_limited', 'The gateway has too many requests in flight.');
    if (account.running >= concurrentRequests)
      return refusal('rate_limited', `The key has ${concurrentRequests} requests in flight, which is its limit.`);
    if (account.tokens < 1) {
      const retryAfterMs = ((1 - account.tokens) * MINUTE_MS) / requestsPerMinute;
      return { ...refusal('rate_limited', `The key may make ${requestsPerMinute} requests per minute.`), retryAfterMs };
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
