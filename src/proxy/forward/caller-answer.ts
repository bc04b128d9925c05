import type { ServerResponse } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import type { FailureCode } from '../../contract/errors.ts';
import type { Secret } from '../../secrets/secret.ts';
import { refusal, sendRefusal } from '../server/refusal.ts';
import { callerHeaders } from '../upstream/headers.ts';
import { errorForCaller, hideAccount, MAX_ERROR_BYTES } from '../upstream/provider-errors.ts';
import type { Attempt } from './attempt.ts';
import { GIVEN_UP } from './given-up.ts';

/** How events begin that tell of a failure. */
const ERROR_STARTS = ['event: error', 'event: response.failed', 'data: {"error"'];
/** What of a stream is held before its first event that is no preamble. */
const MAX_PREAMBLE_BYTES = 64 * 1024;
/** What of an answer that is no stream is held, to mask it where it tells of a failure: as much as is read for its usage. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;
/** The official clients obey it. */
const NOT_AGAIN = { 'x-should-retry': 'false' };

export interface CallerAnswerOptions {
  res: ServerResponse;
  dialect: Dialect;
  /** What no answer may hold. */
  credential: Secret;
}

/**
 * The answer as its caller gets it. It is held until something of it came that no other try would give; then it passes as it comes. An
 * event that tells of a failure passes when it is whole and masked.
 */
export class CallerAnswer {
  readonly #options: CallerAnswerOptions;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Of an event that tells of a failure, until all of it is there. */
  #unfinished: Buffer | null = null;

  constructor(options: CallerAnswerOptions) {
    this.#options = options;
  }

  /** Something of it has reached the caller, or is on its way. */
  get hasBegun(): boolean {
    return this.#options.res.headersSent;
  }

  /** The caller does not read. */
  get isFull(): boolean {
    return this.#options.res.writableNeedDrain;
  }

  onDrain(listener: () => void): void {
    this.#options.res.on('drain', listener);
  }

  /** Adds to what is held; true once it should be held no longer. */
  hold(chunk: Buffer, { isEventStream, tap }: Attempt): boolean {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (!isEventStream) return this.#heldBytes > MAX_JSON_BYTES;
    return tap === null || tap.seen.hasBegun || tap.seen.done || this.#heldBytes > MAX_PREAMBLE_BYTES;
  }

  /** Forgets what was held of a try that failed. */
  drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Writes the head, and returns what was held. */
  begin({ status, headers, isEventStream }: Attempt, { isMasked = false } = {}): Buffer[] {
    const { res, credential } = this.#options;
    const { 'content-length': length, ...others } = callerHeaders(headers, credential);
    res.writeHead(status, isMasked || length === undefined ? others : { ...others, 'content-length': length });
    const held = this.#held;
    this.drop();
    if (isEventStream && held.length === 0) res.flushHeaders();
    return held;
  }

  /** Passes bytes on; false where the caller should be waited for. */
  write(bytes: Buffer): boolean {
    return this.#options.res.write(bytes);
  }

  /** Passes on what tells of a failure. */
  writeMasked(bytes: Buffer): void {
    const { res, credential } = this.#options;
    res.write(hideAccount(bytes.toString('latin1'), credential), 'latin1');
  }

  /** What of an event stream may be passed on; null while an event that tells of a failure is not complete. */
  wholeEvents(chunk: Buffer): Buffer | null {
    const bytes = this.#unfinished === null ? chunk : Buffer.concat([this.#unfinished, chunk]);
    const from = Math.max(...ERROR_STARTS.map((start) => bytes.lastIndexOf(start)));
    const isUnfinished = from !== -1 && bytes.indexOf('\n\n', from) === -1 && bytes.length < MAX_ERROR_BYTES;
    this.#unfinished = isUnfinished ? bytes : null;
    return isUnfinished ? null : bytes;
  }

  /** Passes on what was held back of an event that never became complete. */
  writeUnfinished(): void {
    if (this.#unfinished !== null) this.writeMasked(this.#unfinished);
  }

  end(): void {
    this.#options.res.end();
  }

  destroy(): void {
    this.#options.res.destroy();
  }

  /** Answers with the provider's error. `isLast`: the caller should not try again. */
  sendError({ status, headers }: Attempt, body: Buffer, { isLast }: { isLast: boolean }): void {
    const { res, dialect, credential } = this.#options;
    if (res.headersSent || res.destroyed) return;
    const { 'content-length': _length, 'content-encoding': _encoding, ...others } = callerHeaders(headers, credential);
    res.writeHead(status, { ...others, ...(isLast ? NOT_AGAIN : {}), 'content-type': 'application/json' });
    res.end(JSON.stringify(errorForCaller(dialect, status, body, credential)));
  }

  /** Ends it for a reason that is not the provider's to tell. */
  cut(code: FailureCode, { isLast }: { isLast: boolean }): void {
    const { res, dialect } = this.#options;
    if (res.headersSent) res.destroy();
    else sendRefusal(res, dialect, refusal(code, GIVEN_UP[code] ?? 'The request was given up.'), isLast ? NOT_AGAIN : {});
  }
}
