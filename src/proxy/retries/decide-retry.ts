/** How a try ended before a byte of it had reached the caller. */
export type FailedTry =
  /** No connection came about, so nothing was sent. */
  | { kind: 'unconnected'; isPermanent: boolean }
  /** The connection broke after the request had been sent. */
  | { kind: 'broken' }
  /** The provider answered with an error; `isPermanent`: of a kind that waiting does not fix. */
  | { kind: 'refused'; status: number; isPermanent: boolean; retryAfterMs: number | null }
  /** The provider reported a failure within an answer that had begun well. */
  | { kind: 'failed'; isTransient: boolean; retryAfterMs: number | null };

/** What has been tried. */
export interface Tried {
  /** Tries so far, this one included. */
  tries: number;
  /** The most that there may be. */
  maxTries: number;
  /** Since the first was sent, ms. */
  elapsedMs: number;
  /** Of these, ms that were spent waiting between tries. */
  waitedMs: number;
  /** How long a caller may be without a byte, ms. */
  timeLimitMs: number;
  /** From 0 to below 1. */
  random: number;
}

export type RetryDecision = { action: 'retry'; afterMs: number } | { action: 'give-up'; why: GiveUpReason };

/** `permanent`: a repetition does not help. `exhausted`: no tries are left. `too-long`: the wait is longer than the request may take. */
export type GiveUpReason = 'permanent' | 'exhausted' | 'too-long';

/** 520 to 524 are those of a content network in front of a provider, 529 is Anthropic's for overloaded. */
const TRANSIENT = new Set([429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529]);
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 8_000;
/** A provider closes a connection that was idle: the next one is as good as any. */
const BROKEN_WAIT_MS = 100;
/** Of one request: a job whose provider is down should fail within half a minute. */
const TOTAL_WAIT_MS = 20_000;

/** Whether a request whose try failed is sent once more, and after how long. */
export function decideRetry(failed: FailedTry, tried: Tried): RetryDecision {
  if (!isTransient(failed)) return { action: 'give-up', why: 'permanent' };
  const { tries, maxTries, elapsedMs, waitedMs, timeLimitMs } = tried;
  if (tries >= maxTries) return { action: 'give-up', why: 'exhausted' };
  const afterMs = waitMs(failed, tried);
  // A connect can take as long as a wait, and is one.
  const idledMs = failed.kind === 'unconnected' ? elapsedMs : waitedMs;
  if (idledMs + afterMs > TOTAL_WAIT_MS || elapsedMs + afterMs >= timeLimitMs) return { action: 'give-up', why: 'too-long' };
  return { action: 'retry', afterMs };
}

function isTransient(failed: FailedTry): boolean {
  switch (failed.kind) {
    case 'unconnected':
      return !failed.isPermanent;
    case 'broken':
      return true;
    case 'refused':
      return TRANSIENT.has(failed.status) && !failed.isPermanent;
    case 'failed':
      return failed.isTransient;
  }
}

/** Half of it is random, so that callers that failed together do not come back together; what the provider asks for is not shortened. */
function waitMs(failed: FailedTry, { tries, random }: Tried): number {
  const jitter = (ms: number): number => ms * (0.5 + random / 2);
  if (failed.kind === 'broken' && tries === 1) return jitter(BROKEN_WAIT_MS);
  const stated = 'retryAfterMs' in failed ? failed.retryAfterMs : null;
  if (stated !== null) return stated + (random * stated) / 10;
  return jitter(Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1)));
}
