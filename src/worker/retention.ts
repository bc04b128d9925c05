import { Runtime } from '@temporalio/worker';

import { codeOf } from '../contract/errors.ts';
import type { Database } from '../store/database.ts';
import { deleteExpired } from '../store/retention.ts';

const HOUR_MS = 60 * 60 * 1000;

/**
 * Deletes what is kept no longer than `retentionMs` after the end of its job, and requests that long after their own end, now and
 * every hour. All workers may do it: one at a time does. What fails is logged and tried again with the next. What it returns stops it,
 * and resolves once nothing of it runs.
 */
export function startRetention({ db }: Database, retentionMs: number): () => Promise<void> {
  const stop = new AbortController();
  const run = async (): Promise<void> => {
    const { logger } = Runtime.instance();
    try {
      const deleted = await deleteExpired(db, new Date(Date.now() - retentionMs), stop.signal);
      if (deleted.events + deleted.requests > 0) logger.info('Deleted what has expired.', { ...deleted });
    } catch (error) {
      logger.warn('What has expired could not be deleted.', { code: codeOf(error) });
    }
  };
  let running = run();
  const timer = setInterval(() => {
    running = running.then(run);
  }, HOUR_MS);
  return async () => {
    clearInterval(timer);
    stop.abort();
    await running;
  };
}
