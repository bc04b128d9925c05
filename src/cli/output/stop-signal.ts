/**
 * Resolves on the first SIGINT or SIGTERM. From then on a second SIGINT ends the process, as it does without us.
 * Call it before the work begins: a signal that comes earlier is not heard.
 */
export async function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = (): void => resolve();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  await promise;
  process.off('SIGINT', stop);
  process.off('SIGTERM', stop);
}

/** A package manager passes on the SIGINT that a terminal sends to both. */
const SAME_SIGNAL_MS = 500;

/**
 * SIGINT and SIGTERM as signals: the first aborts `stop`, a later one `hurry`. None of them ends the process from now on: whoever calls this
 * has to.
 */
export function stopSignals(): { stop: AbortSignal; hurry: AbortSignal } {
  const [stop, hurry] = [new AbortController(), new AbortController()];
  let firstAt: number | undefined;
  const onSignal = (): void => {
    firstAt ??= performance.now();
    if (stop.signal.aborted && performance.now() - firstAt > SAME_SIGNAL_MS) hurry.abort();
    stop.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return { stop: stop.signal, hurry: hurry.signal };
}

/** Resolves when the signal aborts. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
