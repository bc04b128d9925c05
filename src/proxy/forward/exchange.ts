import { setTimeout as sleep } from 'node:timers/promises';

import type { FailureCode } from '../../contract/errors.ts';
import { codeOfStatus, isLastingError } from '../protocols/failures.ts';
import type { ModelStop } from '../protocols/model-stop.ts';
import type { ResponseUsage } from '../protocols/response-usage.ts';
import { NOTHING_TAPPED } from '../protocols/usage-tap.ts';
import type { FailedTry } from '../retries/decide-retry.ts';
import { retryAfterMs } from '../retries/retry-after.ts';
import { refusal } from '../server/refusal.ts';
import { errorTypeOf, modelStopOfErrorBody } from '../upstream/provider-errors.ts';
import { Attempt, type AttemptEvents } from './attempt.ts';
import { CallerAnswer } from './caller-answer.ts';
import type { Forwarding } from './forwarding.ts';
import { isPermanent, Retries } from './retries.ts';

/** Whoever ends a key wants it to spend no more: only a usage that is on its way is waited for. */
const DRAIN_ENDED_KEY_MS = 500;
/** The caller of a key that has ended is cut by then, noted or not; it gets no byte meanwhile. */
const CUT_AFTER_MS = 500;
/** How long a stream is held for its first event that is no preamble: its caller should see soon that it is being answered. */
const HOLD_MS = 5_000;

/**
 * One request and its answer.
 *
 *     sent ──▶ held ──▶ passing ──▶ over               the provider ends, or breaks off
 *      ▲ └──────┤
 *      └─ waiting  ──▶ over                            it fails before a byte of its answer reached the caller: another try
 *     any ──▶ draining ──▶ over                        the caller leaves, or the key ends: read on for the usage
 *
 * Settled once, before `over` where it failed, or as soon as a good answer is complete.
 */
export class Exchange implements AttemptEvents {
  readonly #forwarding: Forwarding;
  readonly #resolve: () => void;
  readonly #idle: NodeJS.Timeout;
  readonly #answer: CallerAnswer;
  readonly #retries: Retries;
  /** Null before it is sent, and between two tries. */
  #attempt: Attempt | null = null;
  #wait: NodeJS.Timeout | undefined;
  #holdTimer: NodeJS.Timeout | undefined;
  #drain: NodeJS.Timeout | undefined;
  /** Why the caller gets no more; null while it does. */
  #leftBecause: FailureCode | null = null;
  #settled: Promise<void> | null = null;
  /** The upstream waits for the record. */
  #recording = false;
  #over = false;

  constructor(forwarding: Forwarding, resolve: () => void) {
    this.#forwarding = forwarding;
    this.#resolve = resolve;
    this.#answer = new CallerAnswer(forwarding);
    this.#retries = new Retries(forwarding);
    this.#idle = setTimeout(() => this.#onIdle(), forwarding.idleTimeoutMs);
  }

  start(): void {
    const { interruption } = this.#forwarding;
    interruption.listener = (code) => this.#leave(code);
    if (interruption.code !== null) this.#leave(interruption.code);
    else this.#send();
  }

  #send(): void {
    const { protocol, dispatcher, request } = this.#forwarding;
    this.#retries.begin();
    this.#attempt = new Attempt(protocol, this);
    this.#attempt.send(dispatcher, request);
  }

  onAnswer(): void {
    this.#idle.refresh();
    if (this.#leftBecause !== null) return;
    if (this.#attempt?.tap === null) this.#begin();
    else if (this.#attempt?.isEventStream === true) this.#holdTimer = setTimeout(() => this.#begin(), HOLD_MS);
  }

  onBytes(chunk: Buffer): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#idle.refresh();
    const seen = attempt.tap?.seen ?? NOTHING_TAPPED;
    const failed = seen.failure !== null;
    if (this.#leftBecause !== null) {
      if (seen.done) this.#endDrain();
    } else if (this.#answer.hasBegun) {
      this.#pass(attempt, chunk);
    } else {
      const isEnough = this.#answer.hold(chunk, attempt);
      if (failed && attempt.isEventStream) return this.#retryFailedStream(attempt);
      if (isEnough) this.#begin();
    }
    // Complete from here on, however long the provider keeps the connection and whoever leaves it.
    if (!failed && seen.done) this.#settleGood();
  }

  #retryFailedStream(attempt: Attempt): void {
    this.#retryOr(
      failedAnswer(attempt),
      () => this.#begin(),
      () => this.#end(attempt, this.#code()),
    );
  }

  /** From here on the caller decides. */
  #begin(): void {
    const attempt = this.#attempt;
    clearTimeout(this.#holdTimer);
    if (attempt === null || this.#over || this.#answer.hasBegun) return;
    const isMasked = attempt.tap !== null && attempt.tap.seen.failure !== null;
    const held = this.#answer.begin(attempt, { isMasked });
    this.#answer.onDrain(() => {
      if (!this.#recording) attempt.resume();
    });
    if (held.length > 0) this.#pass(attempt, held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held));
  }

  #pass(attempt: Attempt, chunk: Buffer): void {
    const bytes = attempt.isEventStream ? this.#answer.wholeEvents(chunk) : chunk;
    if (bytes === null) return;
    if (attempt.tap !== null && attempt.tap.seen.failure !== null && attempt.isEventStream && this.#settled === null) {
      this.#record(attempt, bytes);
    } else if (!this.#answer.write(bytes)) {
      attempt.pause();
    }
  }

  /** Agents act on the event that tells of a failure, not on the end of the bytes: settled first, it is sent then. */
  #record(attempt: Attempt, bytes: Buffer): void {
    this.#recording = true;
    attempt.pause();
    this.#settle(this.#code()).then(
      () => {
        this.#recording = false;
        this.#answer.writeMasked(bytes);
        attempt.resume();
      },
      () => this.#fail('database_unreachable'),
    );
  }

  onEnd(): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    if (this.#leftBecause !== null) return this.#endDrain();
    const code = this.#code();
    if (code === null || this.#answer.hasBegun) return this.#end(attempt, code);
    // A stream that ended before its last event was cut.
    const failed = attempt.tap?.seen.failure === null ? ({ kind: 'broken' } as const) : failedAnswer(attempt);
    return this.#retryOr(failed, () => this.#end(attempt, code));
  }

  #end(attempt: Attempt, code: FailureCode | null): void {
    this.#finish();
    if (code === null) {
      this.#write(attempt, false);
      return this.#settleGood();
    }
    this.#settle(code)
      .then(
        () => this.#write(attempt, true),
        () => this.#answer.destroy(),
      )
      .finally(this.#resolve);
  }

  #write(attempt: Attempt, isMasked: boolean): void {
    const held = this.#answer.hasBegun ? [] : this.#answer.begin(attempt, { isMasked });
    if (isMasked && held.length > 0) this.#answer.writeMasked(Buffer.concat(held));
    else for (const bytes of held) this.#answer.write(bytes);
    this.#answer.writeUnfinished();
    this.#answer.end();
  }

  /** The provider refused or failed, so nothing is charged. Passed on once it is on record. */
  onRefused(body: Buffer): void {
    const attempt = this.#attempt;
    if (attempt === null || this.#over) return;
    const { status, headers } = attempt;
    if (status === 401) return this.#fail('llm_unauthorized', { isOwn: true });
    if (status < 400) return this.#fail('llm_failed', { isOwn: true });
    const handDown = (): void => {
      this.#finish();
      this.#settle(codeOfStatus(status), null, { stop: modelStopOfErrorBody(body) })
        .then(
          () => this.#answer.sendError(attempt, body, { isLast: this.#retries.areExhausted }),
          () => this.#answer.destroy(),
        )
        .finally(this.#resolve);
    };
    if (this.#leftBecause !== null || this.#forwarding.interruption.code !== null) return handDown();
    const isLasting = headers['x-should-retry'] === 'false' || isLastingError(errorTypeOf(body));
    const retryAfter = retryAfterMs(headers, Date.now());
    return this.#retryOr({ kind: 'refused', status, isPermanent: isLasting, retryAfterMs: retryAfter }, handDown);
  }

  onBroken(code: string): void {
    if (this.#leftBecause !== null) return this.#endDrain();
    const fail = (): void => this.#fail('llm_failed');
    if (this.#answer.hasBegun || this.#attempt === null) return fail();
    const failed: FailedTry = this.#attempt.wasSent ? { kind: 'broken' } : { kind: 'unconnected', isPermanent: isPermanent(code) };
    return this.#retryOr(failed, fail, fail, code);
  }

  /**
   * Sends the request again, where that may help and nothing of an answer has reached the caller; else `handDown`, or `handDownStopped` where
   * the attempt had been stopped already.
   */
  #retryOr(failed: FailedTry, handDown: () => void, handDownStopped = handDown, why?: string): void {
    const attempt = this.#attempt;
    clearTimeout(this.#holdTimer);
    const afterMs = attempt === null || this.#settled !== null ? null : this.#retries.decide(failed, why);
    if (attempt === null || afterMs === null) return handDown();
    const seen = failed.kind === 'refused' ? null : attempt.seen;
    const again = (): void => {
      this.#answer.drop();
      this.#attempt = null;
      this.#wait = setTimeout(() => this.#send(), afterMs);
    };
    attempt.stop();
    // What it may have cost is charged beside what the next one does, and reserved before.
    if (!this.#retries.costs(seen)) return again();
    this.#retries.reserveAnother(seen).then(
      (isReserved) => {
        if (this.#over) return;
        if (isReserved) again();
        else handDownStopped();
      },
      () => !this.#over && handDownStopped(),
    );
  }

  #code(): FailureCode | null {
    const tap = this.#attempt?.tap ?? null;
    if (tap === null || tap.seen.failure !== null) return tap?.seen.failure ?? null;
    // A stream that ends before its last event was cut, however orderly its connection was closed.
    return this.#attempt?.isEventStream === true && !tap.seen.done ? 'llm_failed' : null;
  }

  #onIdle(): void {
    if (this.#recording) return void this.#idle.refresh();
    if (this.#attempt?.isRefused === true) return this.#attempt.endError();
    // Where the caller does not read, it is not the provider that is silent.
    if (this.#answer.isFull && this.#leftBecause === null) return this.#leave('cancelled');
    this.#fail('llm_timeout');
  }

  /**
   * The caller gets no more. What the provider bills is not known yet: the answer is read on until it says so, within a bound; then the
   * provider is stopped, and the reservation is charged.
   */
  #leave(code: FailureCode): void {
    if (this.#over) return;
    const attempt = this.#attempt;
    if (attempt?.isRefused === true) return attempt.endError();
    const { protocol, drainTimeoutMs } = this.#forwarding;
    const isOver = this.#settled !== null;
    if (protocol === null || attempt === null || !attempt.wasSent || attempt.isStopped || isOver || code === 'gateway_unreachable')
      return this.#fail(this.#leftBecause ?? code);
    const isFirst = this.#leftBecause === null;
    this.#leftBecause ??= code;
    if (!isFirst && code !== 'key_refused') return;
    clearTimeout(this.#holdTimer);
    clearTimeout(this.#drain);
    const drainMs = code === 'key_refused' ? Math.min(drainTimeoutMs, DRAIN_ENDED_KEY_MS) : drainTimeoutMs;
    this.#drain = setTimeout(() => this.#endDrain(), drainMs);
    if (code === 'key_refused') void this.#cutEndedKey();
    attempt.resume();
  }

  async #cutEndedKey(): Promise<void> {
    await Promise.race([this.#forwarding.noteKeyEnd(), sleep(CUT_AFTER_MS, undefined, { ref: false })]);
    this.#answer.cut('key_refused', { isLast: false });
  }

  #endDrain(): void {
    if (this.#over) return;
    if (this.#attempt?.isRefused === true) return this.#attempt.endError();
    const code = this.#leftBecause ?? 'cancelled';
    this.#finish();
    const seen = this.#attempt?.tap?.seen ?? NOTHING_TAPPED;
    // Some leave when they have seen that it failed.
    this.#settleThenCut(this.#isComplete() ? null : (seen.failure ?? code), seen, code);
  }

  #settleThenCut(code: FailureCode | null, seen: Readonly<ResponseUsage> | null, cutBecause: FailureCode, isOwn = false): void {
    this.#settle(code, seen, { isOwn })
      .catch(() => {})
      .finally(() => {
        this.#answer.cut(cutBecause, { isLast: this.#retries.areExhausted });
        this.#resolve();
      });
  }

  #isComplete(): boolean {
    const tap = this.#attempt?.tap ?? null;
    return tap !== null && tap.seen.done && tap.seen.failure === null;
  }

  #finish(): void {
    this.#over = true;
    for (const timer of [this.#idle, this.#drain, this.#wait, this.#holdTimer]) clearTimeout(timer);
    this.#forwarding.interruption.listener = null;
    this.#attempt?.stop();
  }

  /** `isOwn`: the status of the provider's answer is not the caller's. */
  #fail(code: FailureCode, { isOwn = false } = {}): void {
    if (this.#over) return;
    const seen = this.#attempt?.seen ?? null;
    this.#finish();
    const why = code === 'cancelled' ? (seen?.failure ?? code) : code;
    this.#settleThenCut(this.#isComplete() ? null : why, seen, code, isOwn);
  }

  #settle(
    code: FailureCode | null,
    seen: Readonly<ResponseUsage> | null = this.#attempt?.tap?.seen ?? null,
    { stop = seen?.stop ?? null, isOwn = false }: { stop?: ModelStop | null; isOwn?: boolean } = {},
  ): Promise<void> {
    const answered = this.#attempt?.status ?? 0;
    const status = answered === 0 || isOwn ? refusal(code ?? 'internal', '').status : answered;
    const { tries, lost } = this.#retries;
    this.#settled ??= this.#forwarding.settle({ status, code, seen, stop, tries, lost });
    return this.#settled;
  }

  #settleGood(): void {
    this.#settle(null)
      .catch(() => {})
      .finally(() => {
        if (this.#over) this.#resolve();
      });
  }
}

function failedAnswer({ tap, headers }: Attempt): FailedTry {
  return { kind: 'failed', isTransient: tap?.seen.isTransient ?? false, retryAfterMs: retryAfterMs(headers, Date.now()) };
}
