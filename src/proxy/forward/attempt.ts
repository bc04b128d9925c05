import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import type { FailureCode } from '../../contract/errors.ts';
import { codeOfStatus } from '../protocols/failures.ts';
import type { Protocol } from '../protocols/routes.ts';
import { createTap, NO_USAGE, type ResponseUsage, type UsageTap } from '../protocols/usage-tap.ts';
import { MAX_ERROR_BYTES } from '../upstream/provider-errors.ts';

/** A provider sends an error's body at once; where it stalls, the caller gets the part that arrived. */
const ERROR_BODY_TIMEOUT_MS = 2_000;
/** A connection that breaks sooner, before any answer, was an idle one that the provider had closed: nothing was generated. */
const MIN_GENERATION_MS = 100;

/** A request to a provider; each try sends the same one. */
export interface UpstreamRequest extends Pick<Dispatcher.DispatchOptions, 'method' | 'path'> {
  origin: string;
  headers: IncomingHttpHeaders;
  /** The parts of the body. */
  parts: readonly Buffer[];
}

/** The events of an attempt. No event follows one of the last three, nor `stop`. */
export interface AttemptEvents {
  /** An answer that is not an error begins. */
  onAnswer(): void;
  onBytes(chunk: Buffer): void;
  onEnd(): void;
  /** The provider answered with an error; `body` is its body. */
  onRefused(body: Buffer): void;
  /** The connection broke, or was never established; `code` comes from the system or from undici. */
  onBroken(code: string): void;
}

/** One try of a request, and its answer. */
export class Attempt implements Dispatcher.DispatchHandler {
  /** The HTTP status; 0 until the answer begins. */
  status = 0;
  headers: IncomingHttpHeaders = {};
  isEventStream = false;
  /** Reads the usage of a metered answer; null until the answer begins. */
  tap: UsageTap | null = null;
  readonly #protocol: Protocol | null;
  readonly #events: AttemptEvents;
  #sentMs = 0;
  #controller: Dispatcher.DispatchController | null = null;
  #error: Buffer[] | null = null;
  #errorBytes = 0;
  #errorTimer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(protocol: Protocol | null, events: AttemptEvents) {
    this.#protocol = protocol;
    this.#events = events;
  }

  send(dispatcher: Dispatcher, request: UpstreamRequest): void {
    try {
      dispatcher.dispatch({ ...request, ...bodyOf(request) }, this);
    } catch (error) {
      this.#break(error);
    }
  }

  /** The request is on a connection, so the provider may have received it. */
  get wasSent(): boolean {
    return this.#controller !== null;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** The provider answered with an error, whose body is being read. */
  get isRefused(): boolean {
    return this.#error !== null;
  }

  /** The usage that the answer stated; null where nothing is charged, since the provider did no work. */
  get seen(): Readonly<ResponseUsage> | null {
    if (this.tap !== null) return this.tap.seen;
    const mayHaveGenerated = this.wasSent && performance.now() - this.#sentMs > MIN_GENERATION_MS;
    return mayHaveGenerated && this.#error === null && this.#protocol !== null ? NO_USAGE : null;
  }

  /** The failure, as far as it is known; null where the answer is successful. */
  get failure(): FailureCode | null {
    if (this.tap === null || this.tap.seen.failure !== null) return this.tap?.seen.failure ?? null;
    // A stream that ends before its last event was cut off, even if its connection was closed in order.
    return this.isEventStream && !this.tap.seen.done ? 'llm_failed' : null;
  }

  /** The answer stated its usage and that it is complete, without a failure. */
  get isComplete(): boolean {
    return this.tap !== null && this.tap.seen.done && this.tap.seen.failure === null;
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  /** Ends the reading of an error, with the part of its body that has arrived. */
  endError(): void {
    if (this.#stopped || this.#error === null) return;
    const body = Buffer.concat(this.#error);
    this.stop();
    this.#events.onRefused(body);
  }

  /** Aborts the attempt, so that the provider stops. */
  stop(): void {
    clearTimeout(this.#errorTimer);
    if (this.#stopped) return;
    this.#stopped = true;
    this.#controller?.abort(new Error('The request was aborted.'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#sentMs = performance.now();
    if (this.#stopped) controller.abort(new Error('The request was aborted.'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.#stopped || status < 200) return;
    this.status = status;
    this.headers = headers;
    if (codeOfStatus(status) !== null) {
      this.#error = [];
      // The body of a 401 describes the credential. A redirect is not followed: it would take the prompt elsewhere.
      if (status === 401 || status < 400) return this.endError();
      this.#errorTimer = setTimeout(() => this.endError(), ERROR_BODY_TIMEOUT_MS);
      return undefined;
    }
    this.isEventStream = /^text\/event-stream\b/i.test(String(headers['content-type']));
    if (this.#protocol !== null) this.tap = createTap(this.#protocol, this.isEventStream);
    return this.#events.onAnswer();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stopped) return;
    if (this.#error === null) {
      this.tap?.push(chunk);
      this.#events.onBytes(chunk);
    } else {
      this.#errorBytes += chunk.length;
      if (this.#errorBytes <= MAX_ERROR_BYTES) this.#error.push(chunk);
    }
  }

  onResponseEnd(): void {
    if (this.#stopped) return;
    if (this.#error !== null) return this.endError();
    this.tap?.end();
    this.#stopped = true;
    return this.#events.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#break(error);
  }

  #break(error: unknown): void {
    if (this.#stopped) return;
    if (this.#error !== null) return this.endError();
    this.#stopped = true;
    return this.#events.onBroken(error instanceof Error && 'code' in error ? String(error.code) : 'unknown');
  }
}

/** A larger write can block the event loop for longer than a millisecond. */
const MAX_WRITE_BYTES = 512 * 1024;

/** Builds the body as a stream where it has several parts, which undici would copy into one, or a large one, which it would write at once. */
function bodyOf({ parts, headers }: UpstreamRequest): Pick<Dispatcher.DispatchOptions, 'body' | 'headers'> {
  const [only] = parts;
  if (only !== undefined && parts.length === 1 && only.length <= MAX_WRITE_BYTES) return { body: only, headers };
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return { body: Readable.from(splitIntoWrites(parts)), headers: { ...headers, 'content-length': String(length) } };
}

async function* splitIntoWrites(parts: readonly Buffer[]): AsyncGenerator<Buffer, void> {
  for (const part of parts) {
    for (let from = 0; from < part.length; from += MAX_WRITE_BYTES) {
      yield part.subarray(from, from + MAX_WRITE_BYTES);
      await setImmediate();
    }
  }
}
