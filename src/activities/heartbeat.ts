import { Context } from '@temporalio/activity';

const EVERY_MS = 2_000;

/** The same without details: it only tells that the worker lives. */
export async function withLivenessHeartbeat<T>(work: () => Promise<T>): Promise<T> {
  return withHeartbeat(() => null, work);
}

/**
 * Runs the work while it tells Temporal that the activity lives, each time with the newest details: how Temporal's answer,
 * a cancel for example, gets here. The SDK throttles what is really sent; a step that is soon done sends none.
 */
export async function withHeartbeat<T>(details: () => unknown, work: () => Promise<T>): Promise<T> {
  const context = Context.current();
  const beat = (): void => context.heartbeat(details());
  const timer = setInterval(beat, EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
