import type { ResponseUsage } from '../protocols/response-usage.ts';
import { decideRetry, type FailedTry, type GiveUpReason } from '../retries/decide-retry.ts';

/** The bounds of the retries of one request, and the effects of each. */
export interface RetryOptions {
  /** The first try included. */
  maxTries: number;
  /** Takes one retry from the upstream's retry budget; false where it is used up. */
  take(): boolean;
  /** Returns the USD that a try costs, by the usage that its answer stated. */
  costUsd(seen: Readonly<ResponseUsage>): number;
  /** Reserves the most that one more try can cost, in addition to the tries `lost`. Resolves to false where the budget is too small. */
  reserveNextTry(lost: readonly Readonly<ResponseUsage>[]): Promise<boolean>;
  report(event: RetryEvent): void;
}

/** A failed try: whether it is retried, and `why` it failed (an HTTP status, a system error code, or the kind of failure). */
export type RetryEvent = { why: string; tries: number } & (
  | { action: 'retry'; afterMs: number }
  | { action: 'give-up'; reason: GiveUpReason | 'budget' }
);

/** The tries of one request. */
export class Retries {
  tries = 0;
  /** The usages of failed tries that may be billed. */
  readonly lost: Readonly<ResponseUsage>[] = [];
  /** The request was retried, and its last try was the last one allowed. */
  areExhausted = false;
  readonly #options: RetryOptions;
  readonly #timeLimitMs: number;
  #firstMs: number | null = null;
  #waitedMs = 0;

  constructor({ retries, idleTimeoutMs }: { retries: RetryOptions; idleTimeoutMs: number }) {
    this.#options = retries;
    this.#timeLimitMs = idleTimeoutMs;
  }

  /** Counts a try that starts. */
  begin(): void {
    this.#firstMs ??= performance.now();
    this.tries += 1;
  }

  /** Takes back the try that has just failed: it does not count. */
  forgive(): void {
    this.tries -= 1;
  }

  /** Decides whether to retry: returns the delay before the next try in ms, or null where there is none. */
  decide(failed: FailedTry, why: string = failed.kind === 'refused' ? String(failed.status) : failed.kind): number | null {
    const { maxTries } = this.#options;
    const { tries } = this;
    const report = (event: RetryEvent): void => this.#options.report(event);
    const nowMs = performance.now();
    const elapsedMs = nowMs - (this.#firstMs ?? nowMs);
    const tried = { tries, maxTries, elapsedMs, waitedMs: this.#waitedMs, timeLimitMs: this.#timeLimitMs, random: Math.random() };
    const decision = decideRetry(failed, tried);
    if (decision.action === 'give-up') {
      this.areExhausted = decision.why === 'exhausted' && tries > 1;
      if (decision.why !== 'permanent') report({ action: 'give-up', why, tries, reason: decision.why });
      return null;
    }
    if (!this.#options.take()) {
      report({ action: 'give-up', why, tries, reason: 'budget' });
      return null;
    }
    report({ action: 'retry', why, tries, afterMs: Math.round(decision.afterMs) });
    this.#waitedMs += decision.afterMs;
    return decision.afterMs;
  }

  /** Returns whether a failed try may be billed. */
  mayBeBilled(seen: Readonly<ResponseUsage> | null): seen is Readonly<ResponseUsage> {
    return seen !== null && this.#options.costUsd(seen) > 0;
  }

  /** Reserves budget for one more try in addition to those that may be billed. Resolves to false where the budget is too small. */
  async reserveNextTry(seen: Readonly<ResponseUsage>): Promise<boolean> {
    const lost = [...this.lost, seen];
    if (!(await this.#options.reserveNextTry(lost))) return false;
    this.lost.push(seen);
    return true;
  }
}

/** Returns whether no retry can succeed: the certificate of the upstream is not trusted, or the request is invalid. */
export function isPermanent(code: string): boolean {
  return /^(UND_ERR_INVALID|ERR_INVALID|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code);
}
