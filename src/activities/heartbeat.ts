import { Context } from '@temporalio/activity';

const HEARTBEAT_INTERVAL_MS = 2_000;

/** Runs `work` with heartbeats that carry no details and only show that the worker is running. */
export async function withLivenessHeartbeat<T>(work: () => Promise<T>): Promise<T> {
  return withHeartbeat(() => null, work);
}

/**
 * Runs `work` and sends heartbeats with the newest details meanwhile. The responses deliver cancellations. The SDK throttles what is really
 * sent, and a short step sends none.
 */
export async function withHeartbeat<T>(details: () => unknown, work: () => Promise<T>): Promise<T> {
  const context = Context.current();
  const sendHeartbeat = (): void => context.heartbeat(details());
  const timer = setInterval(sendHeartbeat, HEARTBEAT_INTERVAL_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
