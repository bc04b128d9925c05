/** A program in a sandbox has nothing but Node, its own folder and what all programs share. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, test } from 'vitest';

import { programFile, PROGRAMS_FOLDER, type Program } from '../../src/in-sandbox/programs.ts';
import { writePrograms } from '../../src/sandboxes/launch/write-programs.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const PROGRAMS: Program[] = ['init', 'shim', 'mcp-http', 'mock-agent', 'amp-acp'];

test.each(['json-rpc', ...PROGRAMS])('%s imports nothing but Node, its own folder and json-rpc', async (folder) => {
  const names = await readdir(join(PROGRAMS_FOLDER, folder));
  const sources = await Promise.all(names.map((name) => readFile(join(PROGRAMS_FOLDER, folder, name), 'utf8')));
  const imports = sources.flatMap((source) => [...source.matchAll(/(?:from|import|import\() ?'([^']+)'/g)].map(([, from]) => from ?? ''));
  expect(imports.length).toBeGreaterThan(0);
  expect(imports.filter((from) => !/^(node:|\.\/[\w-]+\.ts$|\.\.\/json-rpc\/[\w-]+\.ts$)/.test(from))).toEqual([]);
});

test.each(PROGRAMS)('%s runs where nothing else is written', async (program) => {
  const folder = await temporaryFolder();
  await writePrograms(folder, [program]);
  const { stderr } = await execa(process.execPath, [programFile(program, folder, '.js')], {
    cwd: folder,
    env: { HOME: folder },
    input: '',
    reject: false,
    timeout: 10_000,
  });
  expect(stderr).not.toMatch(/ERR_MODULE|SyntaxError/);
});
