import type { JobEvent } from '../job/events.ts';
import type { Database } from './database.ts';
import { readEvents, watchEvents } from './events.ts';

/** How long nothing may come before it is asked whether the job has ended without a last event (terminated in Temporal). */
const QUIET_MS = 10_000;

/**
 * The events of a job with a `seq` over `after`: first those that are stored, then each as it is stored. Ends after
 * `job.ended`, or when `hasEnded` says so and nothing more is stored. Throws `database_unreachable`.
 */
export async function* followEvents(
  database: Database,
  jobId: string,
  after: number,
  hasEnded: () => Promise<boolean>,
): AsyncGenerator<JobEvent> {
  let last = after;
  let bell = Promise.withResolvers<void>();
  const ring = (): void => bell.resolve();
  let watch = await watchEvents(database, jobId, ring);
  try {
    for (let ended = false; ;) {
      const heard = bell.promise;
      const events = await readEvents(database.db, jobId, last);
      for (const event of events) {
        yield event;
        last = event.seq;
        if (event.type === 'job.ended') return;
      }
      if (events.length > 0) continue;
      if (ended) return;
      const quiet = await quietFor(QUIET_MS, heard);
      bell = Promise.withResolvers<void>();
      if (watch.broken()) {
        watch.stop();
        watch = await watchEvents(database, jobId, ring);
      }
      if (quiet) ended = await hasEnded();
    }
  } finally {
    watch.stop();
  }
}

/** True when the time passed before `heard`. */
async function quietFor(ms: number, heard: Promise<void>): Promise<boolean> {
  const quiet = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => quiet.resolve(true), ms);
  try {
    return await Promise.race([quiet.promise, heard.then(() => false)]);
  } finally {
    clearTimeout(timer);
  }
}
