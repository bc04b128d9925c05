import { startListener, type Listener } from './listener.ts';

/** The channel on which append_events (migrations.ts) sends the id of the job. */
const CHANNEL = 'valetkey_events';

/** Wakes the followers of a job when events of it were stored. */
export interface Notices {
  /**
   * Calls `wake` after each event of the job that is stored from now on, whenever some may have been missed, and at `close`. Resolves once
   * it listens, to the function that stops it. Throws the driver's error where Postgres is unreachable; a later loss of the connection is
   * repaired on its own.
   */
  listen(jobId: string, wake: () => void): Promise<() => void>;
  readonly closed: boolean;
  close(): Promise<void>;
}

/** Creates the notices. All followers share one connection beside the pool, which is open only while there is a follower. */
export function createNotices(url: string): Notices {
  const listening = new Map<string, Set<() => void>>();
  let current: { listener: Listener; stop: AbortController } | undefined;
  let closed = false;

  function start(): Listener {
    const stop = new AbortController();
    const listener = startListener(url, {
      channel: CHANNEL,
      applicationName: 'valetkey events',
      onNotice: (jobId) => {
        for (const wake of listening.get(jobId) ?? []) wake();
      },
      // Events that were stored without a connection have woken no follower.
      catchUp: async () => wakeAll(),
      stop: stop.signal,
    });
    current = { listener, stop };
    return listener;
  }

  function disconnect(): void {
    current?.stop.abort();
    current = undefined;
  }

  function wakeAll(): void {
    for (const wakes of listening.values()) for (const wake of wakes) wake();
  }

  return {
    async listen(jobId, wake) {
      const wakes = listening.get(jobId) ?? new Set();
      listening.set(jobId, wakes.add(wake));
      const stop = (): void => {
        wakes.delete(wake);
        if (wakes.size === 0 && listening.get(jobId) === wakes) listening.delete(jobId);
        if (listening.size === 0) disconnect();
      };
      try {
        await (current?.listener ?? start()).ready();
        return stop;
      } catch (error) {
        stop();
        throw error;
      }
    },
    get closed() {
      return closed;
    },
    async close() {
      closed = true;
      wakeAll();
      listening.clear();
      disconnect();
    },
  };
}
