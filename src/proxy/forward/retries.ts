import type { ResponseUsage } from '../protocols/response-usage.ts';
import { decideRetry, type FailedTry, type GiveUpReason } from '../retries/decide-retry.ts';

/** What a request may do where a try of it fails. */
export interface RetryOptions {
  /** The first one included. */
  maxTries: number;
  /** Takes a retry of what the upstream may get; false where none is left. */
  take(): boolean;
  /** USD that a try costs by what its answer said. */
  costUsd(seen: Readonly<ResponseUsage>): number;
  /** Reserves the most that one more try can cost, beside `lost`. False where the budget does not hold that. */
  reserveAnother(lost: readonly Readonly<ResponseUsage>[]): Promise<boolean>;
  report(event: RetryEvent): void;
}

/** `why`: a status, a code of the system, or the kind of failure. */
export type RetryEvent = { why: string; tries: number } & (
  | { action: 'retry'; afterMs: number }
  | { action: 'give-up'; reason: GiveUpReason | 'budget' }
);

/** What has been tried of one request. */
export class Retries {
  tries = 0;
  /** What the tries said that failed and may have cost something. */
  readonly lost: Readonly<ResponseUsage>[] = [];
  /** The last failure is one that was tried as often as may be. */
  areExhausted = false;
  readonly #options: RetryOptions;
  readonly #timeLimitMs: number;
  #firstMs = 0;
  #waitedMs = 0;

  constructor({ retries, idleTimeoutMs }: { retries: RetryOptions; idleTimeoutMs: number }) {
    this.#options = retries;
    this.#timeLimitMs = idleTimeoutMs;
  }

  /** A try begins. */
  begin(): void {
    if (this.tries === 0) this.#firstMs = performance.now();
    this.tries += 1;
  }

  /** After how many ms the next try begins; null where there is none. */
  decide(failed: FailedTry, why: string = failed.kind === 'refused' ? String(failed.status) : failed.kind): number | null {
    const { maxTries } = this.#options;
    const { tries } = this;
    const report = (event: RetryEvent): void => this.#options.report(event);
    const elapsedMs = performance.now() - this.#firstMs;
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

  /** Whether a try that failed may be billed. */
  costs(seen: Readonly<ResponseUsage> | null): seen is Readonly<ResponseUsage> {
    return seen !== null && this.#options.costUsd(seen) > 0;
  }

  /** Makes room in the budget for one more try beside those that may be billed. Resolves to false where there is none. */
  async reserveAnother(seen: Readonly<ResponseUsage>): Promise<boolean> {
    const lost = [...this.lost, seen];
    if (!(await this.#options.reserveAnother(lost))) return false;
    this.lost.push(seen);
    return true;
  }
}

/** Whether nothing will be sent, however often it is tried: the certificate of the upstream is not trusted, or the request is none. */
export function isPermanent(code: string): boolean {
  return /^(UND_ERR_INVALID|ERR_INVALID|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code);
}
