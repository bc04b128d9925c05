import type { SourcedEvent } from '../../store/events.ts';
import type { Mask } from './mask.ts';

const MAX_WAITING = 1000;

export interface EventQueue {
  /** Takes what the agent's message of that id became; ids rise. Waits only behind a thousand others. */
  push(eventId: number, ...events: SourcedEvent[]): Promise<void>;
  /** Resolves when all that was pushed is stored. Rejects with what `store` threw. */
  drain(): Promise<void>;
  /** Never resolves; rejects with what `store` threw. */
  readonly failed: Promise<never>;
}

/**
 * Masks events and stores them in order, one batch at a time: what comes while a batch is being stored is the next. So an event
 * waits for at most one write, and a slow store gets larger batches instead of slowing the agent; a flood waits, so that it does
 * not fill the memory. `stored` hears the highest id after each batch. The events up to `storedUpTo` are stored already; they
 * are pushed all the same, since a secret that goes on in later ones can begin in them.
 */
export function createEventQueue(
  store: (events: SourcedEvent[]) => Promise<void>,
  stored: (eventId: number) => void,
  mask: Pick<Mask, 'event'>,
  storedUpTo: number,
): EventQueue {
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
    const started = run();
    started.catch(failed.reject);
    return started;
  };

  const drain = (): Promise<void> => Promise.race([running ?? Promise.resolve(), failed.promise]);

  return {
    async push(eventId, ...events) {
      const masked = events.map(({ source, body }) => ({ source, body: mask.event(body) }));
      if (eventId <= storedUpTo) return;
      waiting.push(...masked);
      highest = eventId;
      running ??= start();
      if (waiting.length >= MAX_WAITING) await drain();
    },
    drain,
    failed: failed.promise,
  };
}
