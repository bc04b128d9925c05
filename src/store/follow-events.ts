import { setTimeout as sleep } from 'node:timers/promises';

import { ValetkeyError } from '../contract/errors.ts';
import type { JobEvent } from '../contract/events.ts';
import { asDatabaseError, type Database, type Db } from './database.ts';
import { readEvents } from './events.ts';

/** How long nothing may come before it is asked whether the job has ended without a last event; twice as long with each time. */
const QUIET_MS = 10_000;
const MAX_QUIET_MS = 60_000;
/** How long Postgres may be away, for a restart for example. */
const OUTAGE_MS = 60_000;
const RETRY_MS = 500;

/**
 * The events of a job with a `seq` over `after`: first those that are stored, then each as it is stored. Ends after
 * `job.ended`, or when `hasEnded` says so and nothing more is stored: a job that was terminated in Temporal, or whose events
 * are gone. It is asked when what is stored has been told; what it throws the first time is thrown, later Temporal may be away. `return`
 * ends it at once, also while it waits. Throws `database_unreachable` where Postgres is not there, or goes away for more than a minute.
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
      // A generator that waits would hear of its return only with the next event.
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
  let bell = Promise.withResolvers<void>();
  const ring = (): void => bell.resolve();
  stop.addEventListener('abort', ring);
  const unlisten = await asDatabaseError(database.notices.listen(jobId, ring));
  try {
    let asked = false;
    let ended = false;
    let quietMs = QUIET_MS;
    for (let last = after; !stop.aborted;) {
      // What is stored while it reads rings the new bell.
      bell = Promise.withResolvers();
      const events = await readPatiently(database, jobId, last);
      for (const event of events) {
        yield event;
        last = event.seq;
        if (endsJob(event)) return undefined;
      }
      if (events.length > 0) {
        quietMs = QUIET_MS;
        continue;
      }
      if (ended) return undefined;
      if (!asked) {
        asked = true;
        ended = await hasEnded();
      } else if (!(await rings(bell.promise, quietMs))) {
        ended = await hasEnded().catch(falseWhileUnreachable);
        quietMs = Math.min(2 * quietMs, MAX_QUIET_MS);
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
    if (database.notices.closed) throw new ValetkeyError('database_unreachable', 'the connection to Postgres was closed');
    try {
      return await readEvents(database.db, jobId, after);
    } catch (error) {
      if (!isUnreachable(error) || Date.now() - sinceMs > OUTAGE_MS) throw error;
      await sleep(RETRY_MS);
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

/** False when the time passed before. */
async function rings(bell: Promise<void>, ms: number): Promise<boolean> {
  const quiet = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => quiet.resolve(false), ms);
  try {
    return await Promise.race([quiet.promise, bell.then(() => true)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The events that are stored now, and no more. Where there is none `hasEnded` is asked, which throws for a job that is not there. Throws
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
