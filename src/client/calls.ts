import { isGrpcServiceError } from '@temporalio/client';

import { ValetkeyError } from '../contract/errors.ts';
import type { WaitOptions } from './options.ts';

/** The calls of one client: each ends with the client, and throws nothing but `ValetkeyError`. */
export class Calls {
  readonly #closed = new AbortController();

  /**
   * Runs a call until it is done, its wait is over, or the client is closed. `work` gets a signal that says that nobody waits any more.
   * @throws what `work` throws; `aborted`, `wait_timeout`, `client_closed`; `internal` for an error that is not ours
   */
  async run<T>(work: (stop: AbortSignal) => Promise<T>, options: WaitOptions = {}): Promise<T> {
    const stop = AbortSignal.any([this.#closed.signal, limitOf(options)]);
    const stopped = Promise.withResolvers<never>();
    const onStop = (): void => stopped.reject(stop.reason);
    stop.addEventListener('abort', onStop);
    try {
      stop.throwIfAborted();
      return await Promise.race([work(stop), stopped.promise]);
    } catch (error) {
      throw this.#closed.signal.aborted ? CLOSED() : stop.aborted ? stopError(stop.reason) : asValetkeyError(error);
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  /** Ends the calls that wait, and refuses those that come. */
  close(): void {
    this.#closed.abort();
  }
}

/** The signal that ends a wait. Its time counts from now. */
export function limitOf({ signal, timeoutMs }: WaitOptions): AbortSignal {
  const limits = [signal, timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)];
  return AbortSignal.any(limits.filter((limit) => limit !== undefined));
}

const CLOSED = (): ValetkeyError => new ValetkeyError('client_closed', 'The client was closed.');

function stopError(reason: unknown): ValetkeyError {
  return reason instanceof Error && reason.name === 'TimeoutError'
    ? new ValetkeyError('wait_timeout', 'The call took longer than it was given.')
    : new ValetkeyError('aborted', 'The signal of the call was aborted.');
}

/** The message of an error that is not ours can hold what it was about: only its kind and its place stay. */
function asValetkeyError(error: unknown): ValetkeyError {
  if (ValetkeyError.is(error)) return error;
  const kind = error instanceof Error ? error.name : typeof error;
  const code = isGrpcServiceError(error) ? `, gRPC code ${error.code}` : '';
  const unexpected = new ValetkeyError('internal', `An unexpected error: ${kind}${code}.`);
  const places = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line)) : [];
  unexpected.stack = [`${unexpected.name}: ${unexpected.message}`, ...places].join('\n');
  return unexpected;
}
