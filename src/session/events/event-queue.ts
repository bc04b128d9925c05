import type { SourcedEvent } from '../../store/events.ts';
import type { Mask } from './mask.ts';

const MAX_QUEUED_EVENTS = 1000;

export interface EventQueue {
  /** Adds the events of the agent's message `eventId`; ids must rise. Waits only while a thousand events are queued. */
  push(eventId: number, ...events: SourcedEvent[]): Promise<void>;
  /** Resolves when all pushed events are stored. Rejects with the error of `store`. */
  drain(): Promise<void>;
  /** Never resolves; rejects with the error of `store`. */
  readonly failed: Promise<never>;
}

/**
 * Masks events and stores them in order, one batch at a time: events that arrive during a write form the next batch. So an event waits for
 * at most one write, and a slow store gets larger batches instead of slowing the agent; beyond the limit `push` waits, so that a flood does
 * not fill the memory. `onStored` receives the highest id after each batch. Events up to `storedUpTo` are stored already; they are pushed
 * all the same, because a secret that continues in later events can begin in them.
 */
export function createEventQueue(
  store: (events: SourcedEvent[]) => Promise<void>,
  onStored: (eventId: number) => void,
  mask: Pick<Mask, 'event'>,
  storedUpTo: number,
): EventQueue {
  let queued: SourcedEvent[] = [];
  let highest = 0;
  let running: Promise<void> | null = null;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});

  const run = async (): Promise<void> => {
    while (queued.length > 0) {
      const batch = queued;
      const upTo = highest;
      queued = [];
      await store(batch);
      onStored(upTo);
    }
    running = null;
  };
  const start = (): Promise<void> => {
    const started = run();
    started.catch(failed.reject);
    return started;
  };

  const drain = (): Promise<void> => Promise.race([running ?? Promise.resolve(), failed.promise]);

  return {
    async push(eventId, ...events) {
      const masked = events.map(({ source, body }) => ({ source, body: mask.event(body) }));
      if (eventId <= storedUpTo) return;
      queued.push(...masked);
      highest = eventId;
      running ??= start();
      if (queued.length >= MAX_QUEUED_EVENTS) await drain();
    },
    drain,
    failed: failed.promise,
  };
}
