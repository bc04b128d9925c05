import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { root } from './root.ts';

const GLOBAL_EXPECT = /^import \{[^}]*\bexpect\b[^}]*\} from 'vitest';/m;
const GLOBAL_POLL = /\bexpect\.poll\(/;

// The global `expect.poll` throws where a concurrent test has just ended: no test is the current one then.
test('files with concurrent tests wait by `vi.waitFor`, or by the `expect` of their test', async () => {
  const found: string[] = [];
  for await (const file of glob('test/**/*.ts', { cwd: root })) {
    const text = await readFile(join(root, file), 'utf8');
    if (text.includes('.concurrent') && GLOBAL_EXPECT.test(text) && GLOBAL_POLL.test(text)) found.push(file);
  }
  expect(found).toEqual([]);
});
