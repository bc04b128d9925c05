import { sql } from 'kysely';
import { expect, it } from 'vitest';

import { asDatabaseError, openDatabase } from '../../src/store/database.ts';
import { limitStatements } from '../../src/store/limit-statements.ts';
import { newDatabase } from '../helpers/database.ts';

it('a statement that Postgres does not answer in time fails, and its connection is given up', async () => {
  const database = openDatabase(await newDatabase(), { maxConnections: 1 });
  database.pool.on('connect', (connection) => limitStatements(connection, 300));
  const slow = sql`select pg_sleep(60)`.execute(database.db);
  await expect(asDatabaseError(slow)).rejects.toMatchObject({ code: 'database_unreachable' });
  // The only connection there may be.
  expect((await sql<{ one: number }>`select ${1}::int as one`.execute(database.db)).rows).toEqual([{ one: 1 }]);
  await database.close();
});
