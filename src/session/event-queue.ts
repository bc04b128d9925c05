import type { SourcedEvent } from '../store/events.ts';

export interface EventQueue {
  /** Takes what the agent's message of that id became; ids rise. Never waits. */
  push(eventId: number, event: SourcedEvent): void;
  /** Resolves when all that was pushed is stored. Rejects with what `store` threw. */
  drain(): Promise<void>;
  /** Never resolves; rejects with what `store` threw. */
  readonly failed: Promise<never>;
}

/**
 * Stores events in order, one batch at a time: what comes while a batch is being stored is the next. So an event waits for at
 * most one write, and a slow store gets large batches instead of slowing the agent. `stored` hears the highest id after each.
 */
export function createEventQueue(store: (events: SourcedEvent[]) => Promise<void>, stored: (eventId: number) => void): EventQueue {
  let waiting: SourcedEvent[] = [];
  let highest = 0;
  let running: Promise<void> | null = null;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});

  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting;
      const upTo = highest;
      waiting = [];
      await store(batch);
      stored(upTo);
    }
    running = null;
  };
  const start = (): Promise<void> => {
    const run_ = run();
    run_.catch(failed.reject);
    return run_;
  };

  return {
    push(eventId, event) {
      waiting.push(event);
      highest = eventId;
      running ??= start();
    },
    drain: () => Promise.race([running ?? Promise.resolve(), failed.promise]),
    failed: failed.promise,
  };
}
