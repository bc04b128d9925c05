import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { root } from './root.ts';

const EXPORTED = /^export (?:async )?(?:function|const|type|interface|class) (\w+)/gm;

test('no two files of src export the same name', async () => {
  const places = new Map<string, string[]>();
  for await (const file of glob('src/**/*.ts', { cwd: root })) {
    // Each of these programs is complete in itself: it runs where nothing else of src is.
    if (file.startsWith('src/in-sandbox/')) continue;
    for (const [, name = ''] of (await readFile(join(root, file), 'utf8')).matchAll(EXPORTED))
      places.set(name, [...(places.get(name) ?? []), file]);
  }
  expect(places.size).toBeGreaterThan(300);
  expect([...places].filter(([, files]) => files.length > 1)).toEqual([]);
});
