import { AsyncResource } from 'node:async_hooks';

import { Context } from '@temporalio/activity';

export interface StopSignals {
  /** The job wants the turn to end, or has ended itself. */
  cancel: AbortSignal;
  /** This attempt has to go while the turn goes on: the worker shuts down, or another attempt or run takes over. */
  detach: AbortSignal;
  /** The job has ended without its cleanup. Aborted together with `cancel`. */
  gone: AbortSignal;
}

/** Tells apart why Temporal ends this activity. All abort with Temporal's own reason, which the activity rethrows. */
export function stopSignals(isJobGone: () => Promise<boolean>): StopSignals {
  const context = Context.current();
  const cancel = new AbortController();
  const detach = new AbortController();
  const gone = new AbortController();
  // The SDK aborts from a place of its own, outside of the activity.
  const stop = AsyncResource.bind(async (): Promise<void> => {
    const reason: unknown = context.cancellationSignal.reason;
    const { cancelRequested, notFound } = context.cancellationDetails ?? {};
    if (cancelRequested === true) return cancel.abort(reason);
    if (notFound !== true || !(await isJobGone())) return detach.abort(reason);
    gone.abort(reason);
    cancel.abort(reason);
  });
  if (context.cancellationSignal.aborted) void stop();
  else context.cancellationSignal.addEventListener('abort', () => void stop(), { once: true });
  return { cancel: cancel.signal, detach: detach.signal, gone: gone.signal };
}
