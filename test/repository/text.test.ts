import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, test } from 'vitest';

import { root } from './root.ts';

/** What ties a repository to one machine, each with what it is. */
const FORBIDDEN: [what: string, pattern: RegExp][] = [
  ['a home directory', /(?<![\w.}])\/(root|Users\/\w+|home\/(?!agent\b|node\b)\w+)\//],
  ['a work directory', /(?<![\w.}])\/work\//],
  ['a fixed temporary file', /(?<![\w.}])\/tmp\/\w/],
  ['the address of a package registry', /"resolved": "[^"]*:|registry\.(npmjs|yarnpkg)\.|[/.]goproxy\.|proxy\.golang\./],
  ['a private network’s address', /\b(10\.\d+|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d+\.\d+\b/],
];

const { stdout } = await execa('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root });
/** They hold the patterns themselves, and the ranges of private addresses. */
const EXEMPT = ['test/repository/text.test.ts', 'src/sandboxes/egress/addresses.ts', 'test/sandboxes/egress/addresses.test.ts'];
const files = stdout.split('\n').filter((file) => file !== '' && !EXEMPT.includes(file));

test.each(FORBIDDEN)('no file of the repository holds %s', async (_what, pattern) => {
  const hits: string[] = [];
  for (const file of files) {
    const text = await readFile(join(root, file), 'utf8').catch(() => '');
    for (const [index, line] of text.split('\n').entries()) if (pattern.test(line)) hits.push(`${file}:${index + 1}`);
  }
  expect(hits).toEqual([]);
});
