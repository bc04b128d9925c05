import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { migrate, openDatabase, type Database } from '../../src/store/database.ts';
import { appendEvents } from '../../src/store/events.ts';
import { deleteExpired } from '../../src/store/retention.ts';
import { deleteWorkerFiles, readWorkerFiles, storeWorkerFiles } from '../../src/store/worker-files.ts';
import { newDatabase } from '../helpers/database.ts';

let database: Database;
beforeAll(async () => {
  database = openDatabase(await newDatabase());
  await migrate(database);
});
afterAll(() => database.close());

test('the worker’s own files of a job come back as they were stored last, whatever their size', async () => {
  const { db } = database;
  const content = randomBytes(5 * 1024 * 1024 + 17);
  expect(await readWorkerFiles(db, 'job')).toBeNull();
  await storeWorkerFiles(db, 'job', randomBytes(9 * 1024 * 1024));
  await storeWorkerFiles(db, 'job', content);
  await storeWorkerFiles(db, 'job-2', Buffer.from('other'));
  expect((await readWorkerFiles(db, 'job'))?.equals(content)).toBe(true);
  await deleteWorkerFiles(db, ['job']);
  expect(await readWorkerFiles(db, 'job')).toBeNull();
  expect(String(await readWorkerFiles(db, 'job-2'))).toBe('other');
});

test('retention deletes the worker’s own files of a job with its events', async () => {
  const { db } = database;
  await appendEvents(db, 'old', [{ source: 'a', body: { type: 'message', turn: 1, text: 'some text' } }]);
  await db
    .updateTable('events')
    .set({ at: new Date(Date.now() - 100 * 24 * 60 * 60 * 1000) })
    .execute();
  await storeWorkerFiles(db, 'old', Buffer.from('files'));
  expect(await deleteExpired(db, new Date(), new AbortController().signal)).toMatchObject({ jobs: 1 });
  expect(await readWorkerFiles(db, 'old')).toBeNull();
});
