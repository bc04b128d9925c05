import type { FailureCode } from '../../contract/errors.ts';

/** Ends a request from outside: its caller disconnects, its key ends, or the gateway shuts down. Several reasons can follow each other. */
export class Interruption {
  /** The first reason; null while there is none. */
  code: FailureCode | null = null;
  /** Receives each reason. */
  listener: ((code: FailureCode) => void) | null = null;
  readonly #controller = new AbortController();

  /** Aborted with the first reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  interrupt(code: FailureCode): void {
    this.code ??= code;
    this.#controller.abort();
    this.listener?.(code);
  }
}
