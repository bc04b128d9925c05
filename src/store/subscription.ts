import { asDatabaseError, type Database } from './database.ts';
import { startListener, type ListenerOptions } from './listener.ts';

/** Options of a subscription; `catchUp` runs before `subscribe` resolves, and after each lost connection. */
export type SubscriptionOptions = Omit<ListenerOptions, 'applicationName'>;

/**
 * Listens to a channel of Postgres until `stop`, on a connection beside the pool. Resolves once it listens and has caught up. A connection
 * that is lost later is detected within 5 s and replaced, with retries without limit, and `catchUp` runs again.
 * @throws `database_unreachable` where the first connection fails; the subscription has ended then.
 */
export async function subscribe({ pool }: Database, { stop, ...options }: SubscriptionOptions): Promise<void> {
  const failed = new AbortController();
  const listener = startListener(pool.options.connectionString, {
    ...options,
    applicationName: 'valetkey subscription',
    stop: AbortSignal.any([stop, failed.signal]),
  });
  try {
    await asDatabaseError(listener.ready());
  } catch (error) {
    failed.abort();
    throw error;
  }
}
