import { setTimeout as sleep } from 'node:timers/promises';

import type { FailureCode } from '../../contract/errors.ts';
import { codeOfStatus, isPermanentError } from '../protocols/failures.ts';
import type { ModelStop } from '../protocols/model-stop.ts';
import type { ResponseUsage } from '../protocols/response-usage.ts';
import { NO_USAGE } from '../protocols/usage-tap.ts';
import type { FailedTry } from '../retries/decide-retry.ts';
import { retryAfterMs } from '../retries/retry-after.ts';
import { refusal } from '../server/refusal.ts';
import { readMoneyRefusal } from '../upstream/money-refusals.ts';
import { errorTypeOf, modelStopOfErrorBody } from '../upstream/provider-errors.ts';
import { Attempt, type AttemptEvents } from './attempt.ts';
import { CallerAnswer } from './caller-answer.ts';
import type { Forwarding } from './forwarding.ts';
import { isPermanent, Retries } from './retries.ts';

/** The answer of an ended key is read for its usage for this time only: an ended key should stop spending. */
const ENDED_KEY_DRAIN_TIMEOUT_MS = 500;
/** The caller of an ended key is cut off after this time, even if the use is not recorded yet; it gets no byte meanwhile. */
const ENDED_KEY_CUT_TIMEOUT_MS = 500;
/** A stream is held back for this time until its first event that is not a preamble: the caller should soon see that an answer begins. */
const HOLD_TIMEOUT_MS = 5_000;
/** A gateway releases what a request has reserved some ms after its answer. Half of it is random: those that waited together differ. */
const BUDGET_RELEASE_MS = 300;

/**
 * One request and its answer, as a state machine:
 *
 *     sent ──▶ holding ──▶ forwarding ──▶ done    the provider completes its answer, or fails after the answer has begun
 *      ▲ └────────┤
 *      └── retry delay ─────────────────▶ done    a try fails before a byte reached the caller: retried, or the failure is sent
 *                                                 the same after a 401, while the credential is renewed, and while another
 *                                                 request of the key may hold its budget
 *
 *     sent, holding, forwarding ──▶ draining ──▶ done    the caller disconnects or the key ends: the answer is read for its usage
 *     any ──▶ done                                      idle timeout, shutdown, or nothing that could be billed was sent
 *
 *     sent         #attempt set, its answer has not begun
 *     holding      the answer has begun, CallerAnswer holds its bytes back
 *     forwarding   CallerAnswer.hasBegun: the bytes go to the caller, and no other try is possible
 *     retry delay  #attempt null, #retryTimer runs, or `holder` waits
 *     draining     #interruptedBy set, #drainTimer runs: the caller gets no more bytes
 *     done         #isDone: no timer runs and the attempt is stopped
 *
 * The request is settled exactly once (#settled): before its caller sees a failure, or as soon as a successful answer is complete.
 */
export class Exchange implements AttemptEvents {
  readonly #forwarding: Forwarding;
  readonly #resolve: () => void;
  readonly #idleTimer: NodeJS.Timeout;
  readonly #answer: CallerAnswer;
  readonly #retries: Retries;
  /** Null before the first try, and between two tries. */
  #attempt: Attempt | null = null;
  #retryTimer: NodeJS.Timeout | undefined;
  #holdTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  /** The reason why the caller gets no more bytes; null while it gets them. */
  #interruptedBy: FailureCode | null = null;
  #settled: Promise<void> | null = null;
  /** The upstream is paused until the failure is recorded. */
  #isRecording = false;
  #isDone = false;
  /** The request was, or is, repeated with a renewed credential. */
  #isRenewed = false;

  constructor(forwarding: Forwarding, resolve: () => void) {
    this.#forwarding = forwarding;
    this.#resolve = resolve;
    this.#answer = new CallerAnswer(forwarding);
    this.#retries = new Retries(forwarding);
    this.#idleTimer = setTimeout(() => this.#onIdle(), forwarding.idleTimeoutMs);
  }

  start(): void {
    const { interruption } = this.#forwarding;
    interruption.listener = (code) => this.#interrupt(code);
    if (interruption.code !== null) this.#interrupt(interruption.code);
    else this.#send();
  }

  #send(): void {
    const { protocol, dispatcher, request } = this.#forwarding;
    // The provider is silent from here on, not since the try before.
    this.#idleTimer.refresh();
    this.#retries.begin();
    this.#attempt = new Attempt(protocol, this);
    this.#attempt.send(dispatcher, request);
  }

  onAnswer(): void {
    this.#idleTimer.refresh();
    if (this.#interruptedBy !== null) return;
    if (this.#attempt?.tap === null) this.#begin();
    else if (this.#attempt?.isEventStream === true) this.#holdTimer = setTimeout(() => this.#begin(), HOLD_TIMEOUT_MS);
  }

  onBytes(chunk: Buffer): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#idleTimer.refresh();
    const seen = attempt.tap?.seen ?? NO_USAGE;
    const failed = seen.failure !== null;
    if (this.#interruptedBy !== null) {
      if (seen.done) this.#endDrain();
    } else if (this.#answer.hasBegun) {
      this.#forward(attempt, chunk);
    } else {
      const isEnough = this.#answer.hold(chunk, attempt);
      if (failed && attempt.isEventStream) return this.#retryFailedStream(attempt);
      if (isEnough) this.#begin();
    }
    // The answer is complete now, however long the provider keeps the connection open and even if the caller disconnects.
    if (!failed && seen.done) this.#settleSuccess();
  }

  #retryFailedStream(attempt: Attempt): void {
    this.#retryOr(
      failedAnswer(attempt),
      () => this.#begin(),
      () => this.#end(attempt, attempt.failure),
    );
  }

  /** Starts forwarding the answer: from now on it is the caller that decides about a retry. */
  #begin(): void {
    const attempt = this.#attempt;
    clearTimeout(this.#holdTimer);
    if (attempt === null || this.#isDone || this.#answer.hasBegun) return;
    const isMasked = attempt.tap !== null && attempt.tap.seen.failure !== null;
    const held = this.#answer.begin(attempt, { isMasked });
    this.#answer.onDrain(() => {
      if (!this.#isRecording) attempt.resume();
    });
    if (held.length > 0) this.#forward(attempt, held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held));
  }

  #forward(attempt: Attempt, chunk: Buffer): void {
    const bytes = attempt.isEventStream ? this.#answer.wholeEvents(chunk) : chunk;
    if (bytes === null) return;
    if (attempt.tap !== null && attempt.tap.seen.failure !== null && attempt.isEventStream && this.#settled === null) {
      this.#recordThenForward(attempt, bytes);
    } else if (!this.#answer.write(bytes)) {
      attempt.pause();
    }
  }

  /** Agents react to the failure event, not to the end of the stream, so the failure is settled before the event is forwarded. */
  #recordThenForward(attempt: Attempt, bytes: Buffer): void {
    this.#isRecording = true;
    attempt.pause();
    this.#settle(attempt.failure).then(
      () => {
        this.#isRecording = false;
        this.#answer.writeMasked(bytes);
        attempt.resume();
      },
      () => this.#fail('database_unreachable'),
    );
  }

  onEnd(): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    if (this.#interruptedBy !== null) return this.#endDrain();
    const code = attempt.failure;
    if (code === null || this.#answer.hasBegun) return this.#end(attempt, code);
    // A stream that ended before its last event was cut off.
    const failed = attempt.tap?.seen.failure === null ? ({ kind: 'broken' } as const) : failedAnswer(attempt);
    return this.#retryOr(failed, () => this.#end(attempt, code));
  }

  #end(attempt: Attempt, code: FailureCode | null): void {
    this.#finish();
    if (code === null) {
      this.#write(attempt, false);
      return this.#settleSuccess();
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
    this.#answer.writeIncompleteFailure();
    this.#answer.end();
  }

  /** The provider refused or failed, so nothing is charged. Its error is forwarded after the end of the request is recorded. */
  onRefused(body: Buffer): void {
    const attempt = this.#attempt;
    if (attempt === null || this.#isDone) return;
    const { status, headers } = attempt;
    if (status === 401) return this.#renewOrFail(attempt);
    if (status < 400) return this.#fail('llm_failed', { isOwn: true });
    const forwardError = (): void => {
      this.#finish();
      this.#settle(codeOfStatus(status), null, { stop: modelStopOfErrorBody(body) })
        .then(
          () => this.#answer.sendError(attempt, body, { isLast: this.#retries.areExhausted }),
          () => this.#answer.destroy(),
        )
        .finally(this.#resolve);
    };
    const money = readMoneyRefusal(this.#forwarding.gateway, status, body);
    const isSpent = (): void => this.#fail('budget_exhausted', { isOwn: true });
    if (money === 'spent') return isSpent();
    if (this.#interruptedBy !== null || this.#forwarding.interruption.code !== null) return forwardError();
    const retryAfter = retryAfterMs(headers, Date.now());
    if (money === 'unclear') {
      if (this.#waitForBudget(attempt)) return;
      return this.#retryOr({ kind: 'refused', status: 429, isPermanent: false, retryAfterMs: null }, isSpent);
    }
    if (money === 'held')
      return this.#retryOr({ kind: 'refused', status: 429, isPermanent: false, retryAfterMs: retryAfter }, forwardError);
    const isLasting = headers['x-should-retry'] === 'false' || isPermanentError(errorTypeOf(body));
    return this.#retryOr({ kind: 'refused', status, isPermanent: isLasting, retryAfterMs: retryAfter }, forwardError);
  }

  /**
   * Sends the request again when another one of the key has ended, which may hold the rest of its budget. Such a refusal counts as no try.
   * Returns false where there is no other request: then a few retries tell whether the budget is spent.
   */
  #waitForBudget(attempt: Attempt): boolean {
    const resume = (): void => {
      this.#retryTimer = setTimeout(() => this.#send(), BUDGET_RELEASE_MS * (0.5 + Math.random() / 2));
    };
    if (this.#settled !== null || this.#forwarding.holder?.waitForOthers(resume) !== true) return false;
    attempt.stop();
    this.#answer.drop();
    this.#attempt = null;
    this.#retries.forgive();
    return true;
  }

  /** The provider did no work. A credential that can be renewed is renewed once; between the two tries, `#attempt` is null. */
  #renewOrFail(attempt: Attempt): void {
    const fail = (code: FailureCode): void => this.#fail(code, { isOwn: true });
    const { renew } = this.#forwarding;
    const isOver = this.#interruptedBy !== null || this.#settled !== null || this.#answer.hasBegun;
    if (renew === null || this.#isRenewed || isOver) return fail('llm_unauthorized');
    this.#isRenewed = true;
    attempt.stop();
    this.#attempt = null;
    renew().then(
      (renewed) => {
        if (this.#isDone) return;
        if (typeof renewed === 'string') return fail(renewed);
        const { headers, credential } = renewed;
        Object.assign(this.#forwarding, { request: { ...this.#forwarding.request, headers }, credential });
        return this.#send();
      },
      () => !this.#isDone && fail('internal'),
    );
  }

  onBroken(code: string): void {
    if (this.#interruptedBy !== null) return this.#endDrain();
    const fail = (): void => this.#fail('llm_failed');
    if (this.#answer.hasBegun || this.#attempt === null) return fail();
    const failed: FailedTry = this.#attempt.wasSent ? { kind: 'broken' } : { kind: 'unconnected', isPermanent: isPermanent(code) };
    return this.#retryOr(failed, fail, fail, code);
  }

  /**
   * Retries the request where a retry may succeed and no byte of an answer has reached the caller; else calls `giveUp`, or
   * `giveUpStopped` where the attempt has been stopped already.
   */
  #retryOr(failed: FailedTry, giveUp: () => void, giveUpStopped = giveUp, why?: string): void {
    const attempt = this.#attempt;
    clearTimeout(this.#holdTimer);
    const afterMs = attempt === null || this.#settled !== null ? null : this.#retries.decide(failed, why);
    if (attempt === null || afterMs === null) return giveUp();
    const seen = failed.kind === 'refused' ? null : attempt.seen;
    const retry = (): void => {
      this.#answer.drop();
      this.#attempt = null;
      this.#retryTimer = setTimeout(() => this.#send(), afterMs);
    };
    attempt.stop();
    // The possible cost of the failed try is charged in addition to that of the next, and reserved before the next is sent.
    if (!this.#retries.mayBeBilled(seen)) return retry();
    this.#retries.reserveNextTry(seen).then(
      (isReserved) => {
        if (this.#isDone) return;
        if (isReserved) retry();
        else giveUpStopped();
      },
      () => !this.#isDone && giveUpStopped(),
    );
  }

  #onIdle(): void {
    if (this.#isRecording) return void this.#idleTimer.refresh();
    if (this.#attempt?.isRefused === true) return this.#attempt.endError();
    // The provider is not at fault where the caller does not read.
    if (this.#answer.isFull && this.#interruptedBy === null) return this.#interrupt('cancelled');
    this.#fail('llm_timeout');
  }

  /**
   * Stops forwarding to the caller. The provider's bill is not known yet, so the answer is drained until it states its usage; after the
   * drain timeout the provider is stopped, and the reservation is charged.
   */
  #interrupt(code: FailureCode): void {
    if (this.#isDone) return;
    const attempt = this.#attempt;
    if (attempt?.isRefused === true) return attempt.endError();
    const { protocol, drainTimeoutMs } = this.#forwarding;
    const isSettled = this.#settled !== null;
    if (protocol === null || attempt === null || !attempt.wasSent || attempt.isStopped || isSettled || code === 'gateway_unreachable')
      return this.#fail(this.#interruptedBy ?? code);
    const isFirst = this.#interruptedBy === null;
    this.#interruptedBy ??= code;
    if (!isFirst && code !== 'key_refused') return;
    clearTimeout(this.#holdTimer);
    clearTimeout(this.#drainTimer);
    const timeoutMs = code === 'key_refused' ? Math.min(drainTimeoutMs, ENDED_KEY_DRAIN_TIMEOUT_MS) : drainTimeoutMs;
    this.#drainTimer = setTimeout(() => this.#endDrain(), timeoutMs);
    if (code === 'key_refused') void this.#cutEndedKey();
    attempt.resume();
  }

  async #cutEndedKey(): Promise<void> {
    await Promise.race([this.#forwarding.recordRefusedUse(), sleep(ENDED_KEY_CUT_TIMEOUT_MS, undefined, { ref: false })]);
    this.#answer.cut('key_refused', { isLast: false });
  }

  #endDrain(): void {
    if (this.#isDone) return;
    if (this.#attempt?.isRefused === true) return this.#attempt.endError();
    const code = this.#interruptedBy ?? 'cancelled';
    this.#finish();
    const seen = this.#attempt?.tap?.seen ?? NO_USAGE;
    // Some callers disconnect because they have received a failure: that failure is the code then.
    this.#settleThenCut(this.#attempt?.isComplete === true ? null : (seen.failure ?? code), seen, code);
  }

  #settleThenCut(code: FailureCode | null, seen: Readonly<ResponseUsage> | null, cutBecause: FailureCode, isOwn = false): void {
    this.#settle(code, seen, { isOwn })
      .catch(() => {})
      .finally(() => {
        this.#answer.cut(cutBecause, { isLast: this.#retries.areExhausted });
        this.#resolve();
      });
  }

  #finish(): void {
    this.#isDone = true;
    for (const timer of [this.#idleTimer, this.#drainTimer, this.#retryTimer, this.#holdTimer]) clearTimeout(timer);
    this.#forwarding.interruption.listener = null;
    this.#forwarding.holder?.leave();
    this.#attempt?.stop();
  }

  /** Ends the exchange with a failure. With `isOwn` the caller gets the gateway's status instead of the provider's. */
  #fail(code: FailureCode, { isOwn = false } = {}): void {
    if (this.#isDone) return;
    const seen = this.#attempt?.seen ?? null;
    this.#finish();
    const why = code === 'cancelled' ? (seen?.failure ?? code) : code;
    this.#settleThenCut(this.#attempt?.isComplete === true ? null : why, seen, code, isOwn);
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

  #settleSuccess(): void {
    this.#settle(null)
      .catch(() => {})
      .finally(() => {
        if (this.#isDone) this.#resolve();
      });
  }
}

function failedAnswer({ tap, headers }: Attempt): FailedTry {
  return { kind: 'failed', isTransient: tap?.seen.isTransient ?? false, retryAfterMs: retryAfterMs(headers, Date.now()) };
}
