import type { ServerResponse } from 'node:http';

import type { Dialect } from '../../contract/dialect.ts';
import type { FailureCode } from '../../contract/errors.ts';
import type { Secret } from '../../secrets/secret.ts';
import { MAX_JSON_BYTES } from '../protocols/usage-tap.ts';
import { refusal, sendRefusal } from '../server/refusal.ts';
import { callerHeaders } from '../upstream/headers.ts';
import { errorForCaller, hideAccount, MAX_ERROR_BYTES } from '../upstream/provider-errors.ts';
import { abortMessage } from './abort-message.ts';
import type { Attempt } from './attempt.ts';

/** The first bytes of a stream's failure events. */
const FAILURE_EVENT_STARTS = ['event: error', 'event: response.failed', 'data: {"error"'];
/** A stream is held back up to this size before its first event that is not a preamble. */
const MAX_PREAMBLE_BYTES = 64 * 1024;
/** Tells the official clients not to retry. */
const NO_RETRY_HEADERS = { 'x-should-retry': 'false' };

export interface CallerAnswerOptions {
  res: ServerResponse;
  dialect: Dialect;
  /** The credential that no answer may contain. */
  credential: Secret;
}

/**
 * The answer to the caller. It is held back until it has content that ties the caller to this try; from then on it is forwarded as it
 * arrives. A failure event is forwarded once it is complete and masked.
 */
export class CallerAnswer {
  readonly #options: CallerAnswerOptions;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The part of a failure event that has arrived, until the event is complete. */
  #incompleteFailure: Buffer | null = null;

  constructor(options: CallerAnswerOptions) {
    this.#options = options;
  }

  /** The head of the answer was sent, so no other try is possible. */
  get hasBegun(): boolean {
    return this.#options.res.headersSent;
  }

  /** The caller does not read, and the send buffer is full. */
  get isFull(): boolean {
    return this.#options.res.writableNeedDrain;
  }

  onDrain(listener: () => void): void {
    this.#options.res.on('drain', listener);
  }

  /** Holds back a chunk; returns true once the answer should be forwarded. */
  hold(chunk: Buffer, { isEventStream, tap }: Attempt): boolean {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    // An answer that is no stream is held as long as its usage can be read, so that a failure in it can be masked.
    if (!isEventStream) return this.#heldBytes > MAX_JSON_BYTES;
    return tap === null || tap.seen.hasBegun || tap.seen.done || this.#heldBytes > MAX_PREAMBLE_BYTES;
  }

  /** Discards the held bytes of a failed try. */
  drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Sends the head, and returns the held bytes. */
  begin({ status, headers, isEventStream }: Attempt, { isMasked = false } = {}): Buffer[] {
    const { res, credential } = this.#options;
    const { 'content-length': length, ...others } = callerHeaders(headers, credential);
    res.writeHead(status, isMasked || length === undefined ? others : { ...others, 'content-length': length });
    const held = this.#held;
    this.drop();
    if (isEventStream && held.length === 0) res.flushHeaders();
    return held;
  }

  /** Forwards bytes; returns false where the upstream should pause until the caller has read. */
  write(bytes: Buffer): boolean {
    return this.#options.res.write(bytes);
  }

  /** Forwards the bytes of a failure, masked. */
  writeMasked(bytes: Buffer): void {
    const { res, credential } = this.#options;
    res.write(hideAccount(bytes.toString('latin1'), credential), 'latin1');
  }

  /** Returns the bytes of an event stream that may be forwarded; null while a failure event is incomplete. */
  wholeEvents(chunk: Buffer): Buffer | null {
    const bytes = this.#incompleteFailure === null ? chunk : Buffer.concat([this.#incompleteFailure, chunk]);
    const from = Math.max(...FAILURE_EVENT_STARTS.map((start) => bytes.lastIndexOf(start)));
    const isIncomplete = from !== -1 && bytes.indexOf('\n\n', from) === -1 && bytes.length < MAX_ERROR_BYTES;
    this.#incompleteFailure = isIncomplete ? bytes : null;
    return isIncomplete ? null : bytes;
  }

  /** Forwards the part of a failure event that never became complete, masked. */
  writeIncompleteFailure(): void {
    if (this.#incompleteFailure !== null) this.writeMasked(this.#incompleteFailure);
  }

  end(): void {
    this.#options.res.end();
  }

  destroy(): void {
    this.#options.res.destroy();
  }

  /** Answers with the provider's error. `isLast` asks the caller not to retry. */
  sendError({ status, headers }: Attempt, body: Buffer, { isLast }: { isLast: boolean }): void {
    const { res, dialect, credential } = this.#options;
    if (res.headersSent || res.destroyed) return;
    const { 'content-length': _length, 'content-encoding': _encoding, ...others } = callerHeaders(headers, credential);
    res.writeHead(status, { ...others, ...(isLast ? NO_RETRY_HEADERS : {}), 'content-type': 'application/json' });
    res.end(JSON.stringify(errorForCaller(dialect, status, body, credential)));
  }

  /** Ends the answer for a reason of the gateway's own: with a refusal, or with a broken connection where the answer has begun. */
  cut(code: FailureCode, { isLast }: { isLast: boolean }): void {
    const { res, dialect } = this.#options;
    if (res.headersSent) res.destroy();
    else sendRefusal(res, dialect, refusal(code, abortMessage(code)), isLast ? NO_RETRY_HEADERS : {});
  }
}
