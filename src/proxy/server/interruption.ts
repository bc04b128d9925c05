import type { FailureCode } from '../../contract/errors.ts';

/** What ends a request from outside: its caller leaves, its key ends, the gateway shuts down. More than one can come. */
export class Interruption {
  /** The first reason; null while there is none. */
  code: FailureCode | null = null;
  /** Gets each reason. */
  listener: ((code: FailureCode) => void) | null = null;
  readonly #controller = new AbortController();

  /** Aborted with the first. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  interrupt(code: FailureCode): void {
    this.code ??= code;
    this.#controller.abort();
    this.listener?.(code);
  }
}
