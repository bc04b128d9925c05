import { Context } from '@temporalio/activity';

export interface StopSignals {
  /** The job wants the turn to end, or has ended itself. */
  cancel: AbortSignal;
  /** This attempt has to go while the turn goes on: the worker shuts down, or another attempt takes over. */
  detach: AbortSignal;
}

/** Tells apart why Temporal ends this activity. Both abort with Temporal's own reason, which the activity rethrows. */
export function stopSignals(): StopSignals {
  const context = Context.current();
  const cancel = new AbortController();
  const detach = new AbortController();
  const stop = (): void => {
    const { cancelRequested, notFound } = context.cancellationDetails ?? {};
    const stopped = cancelRequested === true || notFound === true ? cancel : detach;
    stopped.abort(context.cancellationSignal.reason);
  };
  if (context.cancellationSignal.aborted) stop();
  else context.cancellationSignal.addEventListener('abort', stop, { once: true });
  return { cancel: cancel.signal, detach: detach.signal };
}
