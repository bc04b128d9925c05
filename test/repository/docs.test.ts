import { expect, test } from 'vitest';

import { PAGES, readPage, withTables } from '../../scripts/docs.ts';
import { environmentSchema } from '../../src/config/environment.ts';

test.each(Object.entries(PAGES))('docs/%s holds the tables that `npm run docs` makes', async (name, tables) => {
  const page = await readPage(name);
  expect(page).toBe(withTables(page, tables));
});

test.each(Object.entries(environmentSchema.shape))('%s says what it is for', (_name, schema) => {
  expect(schema.description).toMatch(/\.$/);
});
