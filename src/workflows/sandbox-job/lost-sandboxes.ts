import { ApplicationFailure, CancellationScope, CancelledFailure } from '@temporalio/workflow';

import { FAILURES } from '../../contract/errors.ts';
import { SANDBOX_LOST_SIGNAL } from '../../contract/requests.ts';
import { onSandboxSignal } from './sandbox-signals.ts';

/**
 * The sandboxes of a job whose hosts are gone, as the workers signal it. A step on such a host has no worker, so nothing would end the
 * wait for it.
 */
export class LostSandboxes {
  readonly #lost = new Set<string>();
  readonly #wakes = new Set<() => void>();

  constructor() {
    onSandboxSignal(SANDBOX_LOST_SIGNAL, 'the host of a sandbox is gone', (sandbox) => {
      this.#lost.add(sandbox);
      for (const wake of this.#wakes) wake();
    });
  }

  has(sandbox: string): boolean {
    return this.#lost.has(sandbox);
  }

  /**
   * The work's outcome, unless the sandbox is lost before: then the work is cancelled, not awaited. Throws `sandbox_lost`, and
   * a CancelledFailure where the job was asked to end before.
   */
  async orLost<T>(sandbox: string, work: () => Promise<T>): Promise<T> {
    const outer = CancellationScope.current();
    const scope = new CancellationScope();
    const lost = Promise.withResolvers<never>();
    const wake = (): void => {
      if (!this.#lost.has(sandbox)) return;
      const message = FAILURES.sandbox_lost.hint;
      // A job that was asked to end has ended by that.
      lost.reject(
        outer.consideredCancelled
          ? new CancelledFailure(message)
          : ApplicationFailure.create({ type: 'sandbox_lost', message, nonRetryable: true }),
      );
      scope.cancel();
    };
    this.#wakes.add(wake);
    wake();
    try {
      return await Promise.race([lost.promise, scope.run(work)]);
    } finally {
      this.#wakes.delete(wake);
    }
  }
}
