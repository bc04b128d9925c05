import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { MUTATIONS } from '../proofs/keys/mutations.ts';
import { INCOMPATIBLE, NEWER } from '../proofs/keys/other-build.ts';
import { root } from './root.ts';

test.each([...MUTATIONS, NEWER, INCOMPATIBLE])('the proof of keys finds once what it changes in $file: $text', async ({ file, text }) => {
  const source = await readFile(join(root, 'src', file), 'utf8');
  expect(source.split(text)).toHaveLength(2);
});
