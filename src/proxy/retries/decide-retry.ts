/** How a try failed before a byte of its answer had reached the caller. */
export type FailedTry =
  /** No connection was established, so nothing was sent. */
  | { kind: 'unconnected'; isPermanent: boolean }
  /** The connection broke after the request had been sent. */
  | { kind: 'broken' }
  /** The provider answered with an error; `isPermanent`: waiting does not fix it. */
  | { kind: 'refused'; status: number; isPermanent: boolean; retryAfterMs: number | null }
  /** The provider reported a failure within an answer that had begun as a success. */
  | { kind: 'failed'; isTransient: boolean; retryAfterMs: number | null };

/** The tries of a request so far, and its limits. */
export interface RetryState {
  /** Tries so far, this one included. */
  tries: number;
  maxTries: number;
  /** ms since the first try was sent. */
  elapsedMs: number;
  /** The part of `elapsedMs` that was spent waiting between tries. */
  waitedMs: number;
  /** ms that a caller may be without a byte. */
  timeLimitMs: number;
  /** From 0 to below 1. */
  random: number;
}

export type RetryDecision = { action: 'retry'; afterMs: number } | { action: 'give-up'; why: GiveUpReason };

/** `permanent`: no retry can succeed. `exhausted`: no tries are left. `too-long`: the delay would exceed a time limit. */
export type GiveUpReason = 'permanent' | 'exhausted' | 'too-long';

/** 520 to 524 come from a CDN in front of a provider; 529 is Anthropic's status for overload. */
const TRANSIENT_STATUSES = new Set([429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529]);
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 8_000;
/** The first delay after a broken connection is short: usually the provider had closed an idle connection. */
const BROKEN_CONNECTION_DELAY_MS = 100;
/** Limits the delays of one request together: a job whose provider is down should fail within half a minute. */
const MAX_TOTAL_DELAY_MS = 20_000;

/** Decides whether a request is retried after a failed try, and after which delay. */
export function decideRetry(failed: FailedTry, state: RetryState): RetryDecision {
  if (!isTransient(failed)) return { action: 'give-up', why: 'permanent' };
  const { tries, maxTries, elapsedMs, waitedMs, timeLimitMs } = state;
  if (tries >= maxTries) return { action: 'give-up', why: 'exhausted' };
  const afterMs = delayMs(failed, state);
  // The time of a failed connect counts as delay: it can take as long as one.
  const delayedMs = failed.kind === 'unconnected' ? elapsedMs : waitedMs;
  if (delayedMs + afterMs > MAX_TOTAL_DELAY_MS || elapsedMs + afterMs >= timeLimitMs) return { action: 'give-up', why: 'too-long' };
  return { action: 'retry', afterMs };
}

function isTransient(failed: FailedTry): boolean {
  switch (failed.kind) {
    case 'unconnected':
      return !failed.isPermanent;
    case 'broken':
      return true;
    case 'refused':
      return TRANSIENT_STATUSES.has(failed.status) && !failed.isPermanent;
    case 'failed':
      return failed.isTransient;
  }
}

/** Returns the delay. Half of it is random, so that callers that failed together do not retry together; a provider's retry-after is never shortened. */
function delayMs(failed: FailedTry, { tries, random }: RetryState): number {
  const jitter = (ms: number): number => ms * (0.5 + random / 2);
  if (failed.kind === 'broken' && tries === 1) return jitter(BROKEN_CONNECTION_DELAY_MS);
  const stated = 'retryAfterMs' in failed ? failed.retryAfterMs : null;
  if (stated !== null) return stated + (random * stated) / 10;
  return jitter(Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (tries - 1)));
}
