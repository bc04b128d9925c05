import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { withTable } from '../../scripts/configuration.ts';
import { environmentSchema } from '../../src/config.ts';
import { root } from './root.ts';

test('docs/configuration.md holds the table that `npm run docs` makes', async () => {
  const page = await readFile(join(root, 'docs/configuration.md'), 'utf8');
  expect(page).toBe(withTable(page));
});

test.each(Object.entries(environmentSchema.shape))('%s says what it is for', (_name, schema) => {
  expect(schema.description).toMatch(/\.$/);
});
