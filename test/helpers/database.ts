import { randomUUID } from 'node:crypto';

import pg from 'pg';
import { inject } from 'vitest';

/** A new, empty database on the Postgres of the test run. Resolves to its URL. */
export async function newDatabase(): Promise<string> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const admin = new pg.Client({ connectionString: inject('postgresUrl') });
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return url.href;
}
