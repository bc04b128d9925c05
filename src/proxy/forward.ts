import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

import type { Dispatcher } from 'undici';

import type { Dialect } from '../job/dialect.ts';
import { isFailureCode, type FailureCode } from '../job/errors.ts';
import { codeOfStatus } from './failures.ts';
import { callerHeaders } from './headers.ts';
import { refusal, sendRefusal } from './refusal.ts';
import type { Protocol } from './routes.ts';
import { createTap, NOTHING_TAPPED, type Tapped, type UsageTap } from './usage-tap.ts';

const MESSAGES: Partial<Record<FailureCode, string>> = {
  llm_unauthorized: 'the provider refused the credential of the gateway',
  llm_failed: 'the provider could not be reached',
  llm_timeout: 'the provider did not answer in time',
  key_refused: 'the key has ended',
  gateway_unreachable: 'the gateway is shutting down',
};

export interface Forwarding {
  dispatcher: Dispatcher;
  request: Pick<Dispatcher.DispatchOptions, 'method' | 'path'> & { origin: string; headers: IncomingHttpHeaders; body: Buffer | null };
  res: ServerResponse;
  dialect: Dialect;
  /** What the answer is metered by; null: it is not. */
  protocol: Protocol | null;
  idleTimeoutMs: number;
  /** Its reason is a FailureCode. */
  signal: AbortSignal;
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
}

/** Sends a request to the upstream and its answer to the caller, as it comes. Resolves when both are over; throws nothing. */
export function forward(forwarding: Forwarding): Promise<void> {
  return new Promise((resolve) => {
    new Exchange(forwarding, resolve).start();
  });
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #forwarding: Forwarding;
  readonly #resolve: () => void;
  readonly #idle: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #tap: UsageTap | null = null;
  #status = 0;
  #isEventStream = false;
  #bytesLeft = Number.POSITIVE_INFINITY;
  /** The last bytes of a failed answer of known length: held until it is settled, since with them the caller has it all. */
  #last: Buffer | undefined;
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
    const { signal, dispatcher, request } = this.#forwarding;
    if (signal.aborted) return this.#onAbort();
    signal.addEventListener('abort', this.#onAbort);
    dispatcher.dispatch(request, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) this.#abortUpstream();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.#over || status < 200) return;
    this.#idle.refresh();
    // Its body tells of the credential, and its status would tell the caller that the key is dead.
    if (status === 401) return this.#fail('llm_unauthorized');
    const { res, protocol } = this.#forwarding;
    this.#status = status;
    this.#isEventStream = /^text\/event-stream\b/i.test(String(headers['content-type']));
    this.#bytesLeft = headers['content-length'] === undefined ? Number.POSITIVE_INFINITY : Number(headers['content-length']);
    if (protocol !== null && codeOfStatus(status) === null) this.#tap = createTap(protocol, this.#isEventStream);
    res.writeHead(status, callerHeaders(headers));
    if (this.#isEventStream) res.flushHeaders();
    res.on('drain', () => {
      if (!this.#holding) controller.resume();
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    this.#idle.refresh();
    this.#tap?.push(chunk);
    this.#bytesLeft -= chunk.length;
    const failed = this.#failure() !== null;
    if (failed && this.#bytesLeft <= 0) {
      this.#last = chunk;
    } else if (failed && this.#isEventStream && this.#settled === null) {
      this.#hold(controller, chunk);
    } else if (!this.#forwarding.res.write(chunk)) {
      controller.pause();
    }
    // Complete from here on, however long the provider keeps the connection and whoever leaves it.
    if (!failed && this.#tap?.seen.done === true) this.#settleGood();
  }

  /** Agents act on the event that tells of a failure, not on the end of the bytes: settled first, it is sent then. */
  #hold(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#holding = true;
    controller.pause();
    this.#settle(this.#code()).then(
      () => {
        this.#holding = false;
        this.#forwarding.res.write(chunk);
        controller.resume();
      },
      () => this.#fail('database_unreachable'),
    );
  }

  onResponseEnd(): void {
    if (this.#over) return;
    this.#tap?.end();
    this.#finish();
    const { res } = this.#forwarding;
    const code = this.#code();
    if (code === null) {
      res.end();
      return this.#settleGood();
    }
    this.#settle(code)
      .then(
        () => res.end(this.#last),
        () => res.destroy(),
      )
      .finally(this.#resolve);
  }

  onResponseError(): void {
    this.#fail('llm_failed');
  }

  #failure(): FailureCode | null {
    return codeOfStatus(this.#status) ?? this.#tap?.seen.failure ?? null;
  }

  #code(): FailureCode | null {
    const failed = this.#failure();
    if (failed !== null || this.#tap === null) return failed;
    // A stream that ends before its last event was cut, however orderly its connection was closed.
    return this.#isEventStream && !this.#tap.seen.done ? 'llm_failed' : null;
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#forwarding.signal.reason;
    this.#fail(isFailureCode(reason) ? reason : 'internal', { ours: true });
  };

  #onIdle(): void {
    if (this.#holding) return void this.#idle.refresh();
    // Where the caller does not read, it is not the provider that is silent.
    this.#fail(this.#forwarding.res.writableNeedDrain ? 'cancelled' : 'llm_timeout', { ours: true });
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#idle);
    this.#forwarding.signal.removeEventListener('abort', this.#onAbort);
  }

  /** `ours`: the provider may have worked on the request until we gave it up, and bills that. */
  #fail(code: FailureCode, { ours = false } = {}): void {
    if (this.#over) return;
    this.#finish();
    this.#abortUpstream();
    const { res, dialect } = this.#forwarding;
    const answer = refusal(code, MESSAGES[code] ?? 'the request was given up');
    const begun = res.headersSent;
    this.#settle(code, { status: begun ? this.#status : answer.status, worked: ours && this.#controller !== null })
      .catch(() => {})
      .finally(() => {
        if (begun) res.destroy();
        else sendRefusal(res, dialect, answer);
        this.#resolve();
      });
  }

  #settle(code: FailureCode | null, { status = this.#status, worked = false } = {}): Promise<void> {
    const seen = this.#tap?.seen ?? (worked && this.#status === 0 ? NOTHING_TAPPED : null);
    const complete = seen?.done === true && this.#failure() === null;
    // Some leave when they have seen that it failed.
    const why = code === 'cancelled' && this.#status > 0 ? (this.#failure() ?? code) : code;
    this.#settled ??= this.#forwarding.settle({ status, code: complete ? null : why, seen });
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
