import pg from 'pg';

import { readable, type Place } from './place.ts';

/** Every column of every row of every table of a database, bytes as the text that they are. */
export async function storeTexts(databaseUrl: string): Promise<Place[]> {
  const database = new pg.Client({ connectionString: databaseUrl });
  await database.connect();
  try {
    const tables = await database.query<{ name: string; quoted: string }>(
      `select table_name as name, format('%I.%I', table_schema, table_name) as quoted from information_schema.tables
       where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
    );
    const texts: Place[] = [];
    for (const { name, quoted } of tables.rows)
      texts.push([`table ${name}`, readable((await database.query(`select * from ${quoted}`)).rows)]);
    return texts;
  } finally {
    await database.end();
  }
}
