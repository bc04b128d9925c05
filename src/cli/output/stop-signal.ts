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
