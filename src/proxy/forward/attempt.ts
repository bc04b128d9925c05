import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import { codeOfStatus } from '../protocols/failures.ts';
import type { Protocol } from '../protocols/routes.ts';
import { createTap, NOTHING_TAPPED, type ResponseUsage, type UsageTap } from '../protocols/usage-tap.ts';
import { MAX_ERROR_BYTES } from '../upstream/provider-errors.ts';

/** A provider's error is there at once; of one that stalls its caller gets what came. */
const ERROR_BODY_MS = 2_000;
/** A connection that breaks sooner, before any answer, was an idle one that the provider had closed: nothing was generated. */
const WORKED_AFTER_MS = 100;

/** What is sent, as often as it has to be. */
export interface UpstreamRequest extends Pick<Dispatcher.DispatchOptions, 'method' | 'path'> {
  origin: string;
  headers: IncomingHttpHeaders;
  /** Of its body. */
  parts: readonly Buffer[];
}

/** What comes of an attempt. Nothing comes after one of the last three, nor once it is stopped. */
export interface AttemptEvents {
  /** An answer begins that is no error. */
  onAnswer(): void;
  onBytes(chunk: Buffer): void;
  onEnd(): void;
  /** The provider answered with an error, and this is its body. */
  onRefused(body: Buffer): void;
  /** The connection broke, or did not come about; `code`: of the system or of undici. */
  onBroken(code: string): void;
}

/** A request that is sent once, and its answer. */
export class Attempt implements Dispatcher.DispatchHandler {
  /** 0 until there is an answer. */
  status = 0;
  headers: IncomingHttpHeaders = {};
  isEventStream = false;
  /** Reads an answer that is metered; null until there is one. */
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

  /** It is on a connection, so the provider may have got it. */
  get wasSent(): boolean {
    return this.#controller !== null;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** An error is being read. */
  get isRefused(): boolean {
    return this.#error !== null;
  }

  /** What the answer said of its usage; null where nothing is charged, since the provider did no work. */
  get seen(): Readonly<ResponseUsage> | null {
    if (this.tap !== null) return this.tap.seen;
    const mayHaveWorked = this.wasSent && performance.now() - this.#sentMs > WORKED_AFTER_MS;
    return mayHaveWorked && this.#error === null && this.#protocol !== null ? NOTHING_TAPPED : null;
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  /** Ends the error that is being read with what is there of it. */
  endError(): void {
    if (this.#stopped || this.#error === null) return;
    const body = Buffer.concat(this.#error);
    this.stop();
    this.#events.onRefused(body);
  }

  /** Gives it up: the provider stops. */
  stop(): void {
    clearTimeout(this.#errorTimer);
    if (this.#stopped) return;
    this.#stopped = true;
    this.#controller?.abort(new Error('given up'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#sentMs = performance.now();
    if (this.#stopped) controller.abort(new Error('given up'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.#stopped || status < 200) return;
    this.status = status;
    this.headers = headers;
    if (codeOfStatus(status) !== null) {
      this.#error = [];
      // The body of the first tells of the credential; the second would be followed, with the prompt.
      if (status === 401 || status < 400) return this.endError();
      this.#errorTimer = setTimeout(() => this.endError(), ERROR_BODY_MS);
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

/** A larger write can hold the event loop for longer than a millisecond. */
const WRITE_BYTES = 512 * 1024;

/** Several parts are sent as a stream, since undici would copy them into one; so is a large one, since it would be written at once. */
function bodyOf({ parts, headers }: UpstreamRequest): Pick<Dispatcher.DispatchOptions, 'body' | 'headers'> {
  const [only] = parts;
  if (only !== undefined && parts.length === 1 && only.length <= WRITE_BYTES) return { body: only, headers };
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return { body: Readable.from(writesOf(parts)), headers: { ...headers, 'content-length': String(length) } };
}

async function* writesOf(parts: readonly Buffer[]): AsyncGenerator<Buffer, void> {
  for (const part of parts) {
    for (let from = 0; from < part.length; from += WRITE_BYTES) {
      yield part.subarray(from, from + WRITE_BYTES);
      await setImmediate();
    }
  }
}
