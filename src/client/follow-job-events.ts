import type { JobEvent } from '../contract/events.ts';
import { followEvents, replayEvents } from '../store/follow-events.ts';
import { limitOf } from './calls.ts';
import type { ClientContext } from './context.ts';
import { hasEnded } from './job-handle.ts';
import { parseOptions, schemas, type EventsOptions } from './options.ts';
import { requireJob } from './scope.ts';

/**
 * The events of a job, as `Jobs.events` yields them. Ends at once with its signal, its time or its client, also while it waits; every error
 * comes with `next`.
 */
export function followJobEvents(context: ClientContext, jobId: string, options: EventsOptions): AsyncIterableIterator<JobEvent> {
  const { calls } = context;
  let opened: Promise<Opened> | null = null;
  let isOver = false;
  const end = async (): Promise<void> => {
    isOver = true;
    const { events } = (await opened?.catch(() => null)) ?? {};
    await events?.return?.(undefined);
  };
  return {
    next: async () => {
      if (isOver) return { done: true, value: undefined };
      try {
        // The time counts from the first event that is asked for.
        opened ??= calls.run(async () => open(context, jobId, options));
        const { events, stop } = await opened;
        const { done, value } = await calls.run(async () => events.next(), { signal: stop });
        return done === true ? { done, value: undefined } : { done: false, value };
      } catch (error) {
        await end();
        throw error;
      }
    },
    return: async () => {
      await end();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

interface Opened {
  events: AsyncIterator<JobEvent, unknown>;
  stop: AbortSignal;
}

async function open(context: ClientContext, jobId: string, options: EventsOptions): Promise<Opened> {
  const { after = 0, follow = true, ...waiting } = parseOptions(schemas.events, options);
  const stop = limitOf(waiting);
  const job = await requireJob(context, jobId);
  const ended = async (): Promise<boolean> => hasEnded(context, job);
  const { database } = context;
  const events = follow ? followEvents(database, job, after, ended) : replayEvents(database.db, job, after, ended);
  return { events, stop };
}
