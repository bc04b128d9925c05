import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobEvent } from '../contract/events.ts';
import { asDatabaseError, type Database, type Db } from './database.ts';
import { readEvents } from './events.ts';

/** After this time without an event, `hasEnded` is called: the job may have ended without a last event. Doubles with each call. */
const END_CHECK_INTERVAL_MS = 10_000;
const MAX_END_CHECK_INTERVAL_MS = 60_000;
/** How long Postgres may be unreachable, for example during a restart. */
const OUTAGE_TIMEOUT_MS = 60_000;
const RETRY_DELAY_MS = 500;

/**
 * Follows the events of a job with a `seq` above `after`: first those that are stored, then each as it is stored. Ends after `job.ended`,
 * or once `hasEnded` resolves to true and no more event is stored: the job was terminated in Temporal, or its events were deleted.
 * `hasEnded` is first called after the stored events; an error of that call is thrown, while later calls may find Temporal unreachable.
 * `return` ends the iteration at once, also while it waits. Throws `database_unreachable` where Postgres is unreachable at the start, or
 * later for more than a minute.
 */
export function followEvents(
  database: Database,
  jobId: string,
  after: number,
  hasEnded: () => Promise<boolean>,
): AsyncIterableIterator<JobEvent, undefined> {
  const stop = new AbortController();
  const events = follow(database, jobId, after, hasEnded, stop.signal);
  return {
    next: () => events.next(),
    return: () => {
      // A waiting generator would handle `return` only at the next event.
      stop.abort();
      return events.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* follow(
  database: Database,
  jobId: string,
  after: number,
  hasEnded: () => Promise<boolean>,
  stop: AbortSignal,
): AsyncGenerator<JobEvent, undefined> {
  let notice = Promise.withResolvers<void>();
  const wake = (): void => notice.resolve();
  stop.addEventListener('abort', wake);
  const unlisten = await asDatabaseError(database.notices.listen(jobId, wake));
  try {
    let wasChecked = false;
    let hasJobEnded = false;
    let intervalMs = END_CHECK_INTERVAL_MS;
    for (let last = after; !stop.aborted;) {
      // An event that is stored during the read resolves the new notice.
      notice = Promise.withResolvers();
      const events = await readPatiently(database, jobId, last);
      for (const event of events) {
        yield event;
        last = event.seq;
        if (endsJob(event)) return undefined;
      }
      if (events.length > 0) {
        intervalMs = END_CHECK_INTERVAL_MS;
        continue;
      }
      if (hasJobEnded) return undefined;
      if (!wasChecked) {
        wasChecked = true;
        hasJobEnded = await hasEnded();
      } else if (!(await resolvesWithin(notice.promise, intervalMs))) {
        hasJobEnded = await hasEnded().catch(falseWhileUnreachable);
        intervalMs = Math.min(2 * intervalMs, MAX_END_CHECK_INTERVAL_MS);
      }
    }
    return undefined;
  } finally {
    unlisten();
  }
}

/** Also where a newer worker wrote it. */
function endsJob(event: JobEvent): boolean {
  return event.type === 'job.ended' || (event.type === 'unknown' && event.rawType === 'job.ended');
}

async function readPatiently(database: Database, jobId: string, after: number): Promise<JobEvent[]> {
  for (const sinceMs = Date.now(); ;) {
    if (database.notices.closed) throw new ValetkeyError('database_unreachable', 'The connection to Postgres was closed.');
    try {
      return await readEvents(database.db, jobId, after);
    } catch (error) {
      if (!isUnreachable(error) || Date.now() - sinceMs > OUTAGE_TIMEOUT_MS) throw error;
      await sleep(RETRY_DELAY_MS);
    }
  }
}

function falseWhileUnreachable(error: unknown): false {
  if (isUnreachable(error)) return false;
  throw error;
}

function isUnreachable(error: unknown): boolean {
  return ValetkeyError.is(error) && error.retryable;
}

async function resolvesWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  const timeout = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => timeout.resolve(false), ms);
  try {
    return await Promise.race([timeout.promise, promise.then(() => true)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Iterates over the events that are stored now. Where there is none, calls `hasEnded`, which throws for a job that does not exist. Throws
 * `database_unreachable`.
 */
export async function* replayEvents(
  db: Db,
  jobId: string,
  after: number,
  hasEnded: () => Promise<boolean>,
): AsyncGenerator<JobEvent, void> {
  for (let last = after; ;) {
    const events = await readEvents(db, jobId, last);
    yield* events;
    const newest = events.at(-1);
    if (newest === undefined) {
      if (last === after) await hasEnded();
      return;
    }
    last = newest.seq;
  }
}
