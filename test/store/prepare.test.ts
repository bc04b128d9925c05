import { sql } from 'kysely';
import { expect, test } from 'vitest';

import { migrate, openDatabase } from '../../src/store/database.ts';
import { appendEvents } from '../../src/store/events.ts';
import { activeKeys } from '../../src/store/keys.ts';
import { newDatabase } from '../helpers/database.ts';

test('a statement is planned once a connection, and one that selects * survives a migration', async () => {
  const database = openDatabase(await newDatabase(), { maxConnections: 1 });
  const { db } = database;
  await migrate(database);
  for (const text of ['one', 'two']) await appendEvents(db, 'job', [{ source: text, body: { type: 'message', turn: 1, text } }]);
  await activeKeys(db, 'job');
  const { rows } = await sql<{ statement: string }>`select statement from pg_prepared_statements`.execute(db);
  expect(rows.filter(({ statement }) => statement.includes('append_events'))).toHaveLength(1);
  expect(rows.filter(({ statement }) => statement.includes('select *'))).toEqual([]);
  await sql`alter table keys add column of_a_newer_version text`.execute(db);
  expect(await activeKeys(db, 'job')).toEqual([]);
  await database.close();
});
