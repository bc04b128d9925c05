import { expect, test } from 'vitest';

import { migrate, openDatabase } from '../../src/store/database.ts';
import { appendEvents, readEvents } from '../../src/store/events.ts';
import { deleteExpired } from '../../src/store/retention.ts';
import { newDatabase } from '../helpers/database.ts';
import { jobSpec, testStack } from '../helpers/stack.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

test('a worker deletes at its start what is kept no longer, and the events of such a job are an empty stream', async () => {
  const url = await newDatabase();
  const database = openDatabase(url);
  await migrate(database);
  await appendEvents(database.db, 'old', [{ source: 'a', body: { type: 'message', turn: 1, text: 'some text' } }]);
  await database.db
    .updateTable('events')
    .set({ at: new Date(Date.now() - 33 * DAY_MS) })
    .execute();
  const stack = await testStack({ environment: { DATABASE_URL: url, VALETKEY_EVENT_RETENTION: '2d' } });
  try {
    await expect.poll(() => readEvents(database.db, 'old', 0)).toEqual([]);
    const { jobId } = await stack.client.jobs.submit(jobSpec());
    await stack.client.jobs.result(jobId);
    await deleteExpired(database.db, new Date(Date.now() + DAY_MS), new AbortController().signal);
    for (const follow of [true, false]) {
      expect(await stack.client.jobs.events(jobId, { follow }).next()).toEqual({ done: true, value: undefined });
    }
    expect(await stack.client.jobs.status(jobId)).toMatchObject({ state: 'completed' });
  } finally {
    await stack.stop();
    await database.close();
  }
});
