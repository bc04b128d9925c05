import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import type { Dialect } from '../../job/dialect.ts';
import type { FailureCode } from '../../job/errors.ts';
import type { Secret } from '../../secrets/secret.ts';
import { codeOfStatus } from '../protocols/failures.ts';
import type { ModelStop } from '../protocols/model-stop.ts';
import type { Protocol } from '../protocols/routes.ts';
import { createTap, NOTHING_TAPPED, type Tapped, type UsageTap } from '../protocols/usage-tap.ts';
import { callerHeaders } from '../upstream/headers.ts';
import { errorForCaller, hideAccount, MAX_ERROR_BYTES, modelStopOfErrorBody } from '../upstream/provider-errors.ts';
import type { Interruption } from './interruption.ts';
import { refusal, sendRefusal } from './refusal.ts';

/** Why a request ended that was on its way. */
export const GIVEN_UP: Partial<Record<FailureCode, string>> = {
  llm_unauthorized: 'The provider refused the credential of the gateway.',
  llm_failed: 'The provider could not be reached, or broke off.',
  llm_timeout: 'The provider did not answer in time.',
  key_refused: 'The key has ended.',
  gateway_unreachable: 'The gateway is shutting down.',
  database_unreachable: 'The request could not be recorded.',
  cancelled: 'The caller left.',
};

/** How events begin that tell of a failure. */
const ERROR_STARTS = ['event: error', 'event: response.failed', 'data: {"error"'];
/** A provider's error is there at once; of one that stalls its caller gets what came. */
const ERROR_BODY_MS = 2_000;
/** Whoever ends a key wants it to spend no more: only a usage that is on its way is waited for. */
const DRAIN_ENDED_KEY_MS = 500;
/** The caller of a key that has ended is cut by then, noted or not; it gets no byte meanwhile. */
const CUT_AFTER_MS = 500;
/** A connection that breaks sooner, before any answer, was an idle one that the provider had closed: nothing was generated. */
const WORKED_AFTER_MS = 100;

export interface Forwarding {
  dispatcher: Dispatcher;
  request: Pick<Dispatcher.DispatchOptions, 'method' | 'path'> & {
    origin: string;
    headers: IncomingHttpHeaders;
    /** Of its body. */
    parts: readonly Buffer[];
  };
  /** What `request.headers` holds and no answer may. */
  credential: Secret;
  res: ServerResponse;
  dialect: Dialect;
  /** What the answer is metered by; null: it is not. */
  protocol: Protocol | null;
  idleTimeoutMs: number;
  /** How long an answer whose caller left is read on, for its usage. */
  drainTimeoutMs: number;
  interruption: Interruption;
  /** Called where the key ends, before its caller is cut: what notes it. */
  noteKeyEnd(): Promise<void>;
  /**
   * Called once. The caller of a failed request does not see that before it resolves, so that who asks why a turn failed finds
   * the reason. The end of a good answer does not wait: its row is open until then, and a settlement waits for open rows.
   */
  settle(end: ForwardEnd): Promise<void>;
}

export interface ForwardEnd {
  status: number;
  code: FailureCode | null;
  /** What the answer said of its usage; null where nothing is charged, since the provider did no work. */
  seen: Readonly<Tapped> | null;
  /** Why the model stopped, where that was not the end of its turn. */
  stop: ModelStop | null;
}

/** Sends a request to the upstream and its answer to the caller, as it comes. Resolves when both are over; throws nothing. */
export function forward(forwarding: Forwarding): Promise<void> {
  return new Promise((resolve) => {
    new Exchange(forwarding, resolve).start();
  });
}

/** Of several parts undici would make one. */
function bodyOf({ parts, headers }: Forwarding['request']): Pick<Dispatcher.DispatchOptions, 'body' | 'headers'> {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return { body: only, headers };
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return { body: Readable.from(parts), headers: { ...headers, 'content-length': String(length) } };
}

/**
 * One request and its answer.
 *
 *     sent ──▶ answering ──▶ over                      the provider ends, or breaks off
 *       └────────┴─────▶ draining ──▶ over             the caller leaves, or the key ends: read on for the usage
 *
 * Settled once, before `over` where it failed, or as soon as a good answer is complete.
 */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #forwarding: Forwarding;
  readonly #resolve: () => void;
  readonly #idle: NodeJS.Timeout;
  readonly #startedMs = performance.now();
  #drain: NodeJS.Timeout | undefined;
  /** Why the caller gets no more; null while it does. */
  #leftBecause: FailureCode | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #tap: UsageTap | null = null;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #isEventStream = false;
  /** Of an answer that failed: passed on once it is whole and settled. */
  #error: Buffer[] | null = null;
  #errorBytes = 0;
  /** Of an event that tells of a failure, until all of it is there: what it says is passed on masked. */
  #unfinished: Buffer | null = null;
  #settled: Promise<void> | null = null;
  /** The upstream waits for the record. */
  #holding = false;
  #over = false;

  constructor(forwarding: Forwarding, resolve: () => void) {
    this.#forwarding = forwarding;
    this.#resolve = resolve;
    this.#idle = setTimeout(() => this.#onIdle(), forwarding.idleTimeoutMs);
  }

  start(): void {
    const { interruption, dispatcher, request } = this.#forwarding;
    interruption.listener = (code) => this.#leave(code);
    if (interruption.code !== null) this.#leave(interruption.code);
    else dispatcher.dispatch({ ...request, ...bodyOf(request) }, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) this.#abortUpstream();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.#over || status < 200) return;
    this.#idle.refresh();
    // Its body tells of the credential, and its status would tell the caller that the key is revoked.
    if (status === 401) return this.#fail('llm_unauthorized', false);
    // The caller would follow it, with its prompt.
    if (status < 400 && status >= 300) return this.#fail('llm_failed', false);
    const { res, protocol, credential } = this.#forwarding;
    this.#status = status;
    this.#headers = headers;
    if (codeOfStatus(status) !== null) {
      this.#error = [];
      this.#drain = setTimeout(() => this.#endError(), ERROR_BODY_MS);
      return;
    }
    this.#isEventStream = /^text\/event-stream\b/i.test(String(headers['content-type']));
    if (protocol !== null) this.#tap = createTap(protocol, this.#isEventStream);
    if (this.#leftBecause !== null) return;
    res.writeHead(status, callerHeaders(headers, credential));
    if (this.#isEventStream) res.flushHeaders();
    res.on('drain', () => {
      if (!this.#holding) controller.resume();
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    this.#idle.refresh();
    if (this.#error !== null) {
      this.#errorBytes += chunk.length;
      if (this.#errorBytes <= MAX_ERROR_BYTES) this.#error.push(chunk);
      return;
    }
    this.#tap?.push(chunk);
    const failed = this.#tap !== null && this.#tap.seen.failure !== null;
    const bytes = this.#isEventStream ? this.#wholeEvents(chunk) : chunk;
    if (this.#leftBecause !== null) {
      if (this.#tap?.seen.done === true) this.#endDrain();
    } else if (bytes === null) {
      return;
    } else if (failed && this.#isEventStream && this.#settled === null) {
      this.#hold(controller, bytes);
    } else if (!this.#forwarding.res.write(bytes)) {
      controller.pause();
    }
    // Complete from here on, however long the provider keeps the connection and whoever leaves it.
    if (!failed && this.#tap?.seen.done === true) this.#settleGood();
  }

  /** What of an event stream may be passed on; null while an event that tells of a failure is not complete. */
  #wholeEvents(chunk: Buffer): Buffer | null {
    const bytes = this.#unfinished === null ? chunk : Buffer.concat([this.#unfinished, chunk]);
    const from = Math.max(...ERROR_STARTS.map((start) => bytes.lastIndexOf(start)));
    const isUnfinished = from !== -1 && bytes.indexOf('\n\n', from) === -1 && bytes.length < MAX_ERROR_BYTES;
    this.#unfinished = isUnfinished ? bytes : null;
    return isUnfinished ? null : bytes;
  }

  /** Agents act on the event that tells of a failure, not on the end of the bytes: settled first, it is sent then. */
  #hold(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#holding = true;
    controller.pause();
    const { res, credential } = this.#forwarding;
    this.#settle(this.#code()).then(
      () => {
        this.#holding = false;
        res.write(hideAccount(chunk.toString('latin1'), credential), 'latin1');
        controller.resume();
      },
      () => this.#fail('database_unreachable', true),
    );
  }

  onResponseEnd(): void {
    if (this.#over) return;
    if (this.#error !== null) return this.#endError();
    this.#tap?.end();
    if (this.#leftBecause !== null) return this.#endDrain();
    this.#finish();
    const { res, credential } = this.#forwarding;
    if (this.#unfinished !== null) res.write(hideAccount(this.#unfinished.toString('latin1'), credential), 'latin1');
    const code = this.#code();
    if (code === null) {
      res.end();
      return this.#settleGood();
    }
    this.#settle(code)
      .then(
        () => res.end(),
        () => res.destroy(),
      )
      .finally(this.#resolve);
  }

  /** The provider refused or failed, so nothing is charged. Passed on once it is on record. */
  #endError(): void {
    if (this.#over) return;
    this.#finish();
    this.#abortUpstream();
    const body = Buffer.concat(this.#error ?? []);
    this.#settle(codeOfStatus(this.#status), null, modelStopOfErrorBody(body))
      .then(
        () => this.#sendError(body),
        () => this.#forwarding.res.destroy(),
      )
      .finally(this.#resolve);
  }

  #sendError(body: Buffer): void {
    const { res, dialect, credential } = this.#forwarding;
    if (res.headersSent || res.destroyed) return;
    const { 'content-length': _length, 'content-encoding': _encoding, ...headers } = callerHeaders(this.#headers, credential);
    res.writeHead(this.#status, { ...headers, 'content-type': 'application/json' });
    res.end(JSON.stringify(errorForCaller(dialect, this.#status, body, credential)));
  }

  onResponseError(): void {
    if (this.#error !== null) return this.#endError();
    if (this.#leftBecause !== null) return this.#endDrain();
    this.#fail('llm_failed', this.#status !== 0 || performance.now() - this.#startedMs > WORKED_AFTER_MS);
  }

  #code(): FailureCode | null {
    if (this.#tap === null || this.#tap.seen.failure !== null) return this.#tap?.seen.failure ?? null;
    // A stream that ends before its last event was cut, however orderly its connection was closed.
    return this.#isEventStream && !this.#tap.seen.done ? 'llm_failed' : null;
  }

  #onIdle(): void {
    if (this.#holding) return void this.#idle.refresh();
    // Where the caller does not read, it is not the provider that is silent.
    if (this.#forwarding.res.writableNeedDrain && this.#leftBecause === null) return this.#leave('cancelled');
    this.#fail('llm_timeout', true);
  }

  /**
   * The caller gets no more. What the provider bills is not known yet: the answer is read on until it says so, within a bound; then the
   * provider is stopped, and the reservation is charged.
   */
  #leave(code: FailureCode): void {
    if (this.#over) return;
    if (this.#error !== null) return this.#endError();
    const { protocol, drainTimeoutMs } = this.#forwarding;
    const isOver = this.#settled !== null;
    if (protocol === null || this.#controller === null || isOver || code === 'gateway_unreachable')
      return this.#fail(this.#leftBecause ?? code, this.#controller !== null);
    const isFirst = this.#leftBecause === null;
    this.#leftBecause ??= code;
    if (!isFirst && code !== 'key_refused') return;
    clearTimeout(this.#drain);
    const drainMs = code === 'key_refused' ? Math.min(drainTimeoutMs, DRAIN_ENDED_KEY_MS) : drainTimeoutMs;
    this.#drain = setTimeout(() => this.#endDrain(), drainMs);
    if (code === 'key_refused') void this.#cutEndedKey();
    this.#controller.resume();
  }

  async #cutEndedKey(): Promise<void> {
    await Promise.race([this.#forwarding.noteKeyEnd(), sleep(CUT_AFTER_MS, undefined, { ref: false })]);
    this.#cutCaller('key_refused');
  }

  #endDrain(): void {
    if (this.#over) return;
    const code = this.#leftBecause ?? 'cancelled';
    this.#finish();
    this.#abortUpstream();
    // Some leave when they have seen that it failed.
    const why = this.#tap?.seen.failure ?? code;
    this.#settleThenCut(this.#isComplete() ? null : why, this.#tap?.seen ?? NOTHING_TAPPED, code);
  }

  #settleThenCut(code: FailureCode | null, seen: Readonly<Tapped> | null, cutBecause: FailureCode): void {
    this.#settle(code, seen)
      .catch(() => {})
      .finally(() => {
        this.#cutCaller(cutBecause);
        this.#resolve();
      });
  }

  #cutCaller(code: FailureCode): void {
    const { res, dialect } = this.#forwarding;
    if (res.headersSent) res.destroy();
    else sendRefusal(res, dialect, refusal(code, GIVEN_UP[code] ?? 'The request was given up.'));
  }

  #isComplete(): boolean {
    return this.#tap !== null && this.#tap.seen.done && this.#tap.seen.failure === null;
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#idle);
    clearTimeout(this.#drain);
    this.#forwarding.interruption.listener = null;
  }

  /** `worked`: the provider may have generated something, and bills that. */
  #fail(code: FailureCode, worked: boolean): void {
    if (this.#over) return;
    this.#finish();
    this.#abortUpstream();
    const seen = this.#tap?.seen ?? (worked && this.#forwarding.protocol !== null ? NOTHING_TAPPED : null);
    const why = code === 'cancelled' ? (this.#tap?.seen.failure ?? code) : code;
    this.#settleThenCut(this.#isComplete() ? null : why, seen, code);
  }

  #settle(
    code: FailureCode | null,
    seen: Readonly<Tapped> | null = this.#tap?.seen ?? null,
    stop: ModelStop | null = seen?.stop ?? null,
  ): Promise<void> {
    const { status } = refusal(code ?? 'internal', '');
    this.#settled ??= this.#forwarding.settle({ status: this.#status === 0 ? status : this.#status, code, seen, stop });
    return this.#settled;
  }

  #settleGood(): void {
    this.#settle(null)
      .catch(() => {})
      .finally(() => {
        if (this.#over) this.#resolve();
      });
  }

  #abortUpstream(): void {
    this.#controller?.abort(new Error('given up'));
  }
}
