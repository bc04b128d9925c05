import { expect, test } from 'vitest';

import { PAGES, readPage, withTable } from '../../scripts/docs.ts';
import { environmentSchema } from '../../src/config/environment.ts';

test.each(Object.entries(PAGES))('docs/%s holds the table that `npm run docs` makes', async (name, rows) => {
  const page = await readPage(name);
  expect(page).toBe(withTable(page, rows()));
});

test.each(Object.entries(environmentSchema.shape))('%s says what it is for', (_name, schema) => {
  expect(schema.description).toMatch(/\.$/);
});
