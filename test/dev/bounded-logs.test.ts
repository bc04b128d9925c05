import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { keepBounded } from '../../src/dev/bounded-logs.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

test('a log beyond its size begins anew, at the start and later, and one older generation of it is kept', async (context) => {
  const folder = await temporaryFolder(context);
  const [log, missing] = [join(folder, 'log'), join(folder, 'missing')];
  await writeFile(log, 'first beyond the limit');
  const stop = await keepBounded([missing, log], 10, 20);
  context.onTestFinished(stop);
  expect(await readFile(`${log}.1`, 'utf8')).toBe('first beyond the limit');
  await appendFile(log, 'short');
  await appendFile(log, ', then long');
  await expect.poll(() => readFile(`${log}.1`, 'utf8')).toBe('short, then long');
  expect(await readFile(log, 'utf8')).toBe('');
});
