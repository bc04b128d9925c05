import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, test } from 'vitest';
import { z } from 'zod';

import { root } from '../repository/root.ts';

const entry = join(root, 'src/cli/index.ts');

/** The command line in a process that says it is that version of Node. */
async function runAs(version: string) {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  return execa(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`, entry, '--version'], {
    reject: false,
  });
}

test.each(['18.20.8', '20.20.2', '22.18.9'])('Node %s is told in one line what is required', async (version) => {
  const { exitCode, stderr, stdout } = await runAs(version);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toBe(`valetkey: Node 22.19 or newer is required; this is Node ${version} (${process.execPath}).`);
});

test.each(['22.19.0', '24.0.0'])('Node %s runs', async (version) => {
  expect(await runAs(version)).toMatchObject({ exitCode: 0, stderr: '' });
});

test('the version that is required is the one that package.json names, and nothing is imported before it is checked', async () => {
  const text = await readFile(entry, 'utf8');
  const { engines } = z
    .object({ engines: z.object({ node: z.string() }) })
    .parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
  expect(engines.node).toBe('>=22.19');
  expect(text).not.toMatch(/^import /m);
});
