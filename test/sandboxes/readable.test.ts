import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { makeReadable } from '../../src/sandboxes/local/readable.ts';

let closed: string;
let copies: string;
beforeEach(async () => {
  closed = await mkdtemp(join(tmpdir(), 'valetkey-closed-'));
  copies = await mkdtemp(join(tmpdir(), 'valetkey-copies-'));
  await mkdir(join(closed, 'package/bin'), { recursive: true });
  await writeFile(join(closed, 'package/bin/tool'), 'tool', { mode: 0o700 });
  await writeFile(join(closed, 'package/notes'), 'notes', { mode: 0o644 });
  await symlink('notes', join(closed, 'package/link'));
});
afterEach(async () => {
  await rm(closed, { recursive: true });
  await rm(copies, { recursive: true });
});

test('a part that other users can read is used at its own path', async () => {
  const parts = [{ name: 'sh', path: '/bin/sh' }];
  expect(await makeReadable(parts, copies)).toBe(parts);
  expect(await readdir(copies)).toEqual([]);
});

test('a part in a private folder is copied once, so that other users can read and run it', async () => {
  const parts = [{ name: 'node_modules/@scope/package', path: join(closed, 'package') }];
  const [part] = await makeReadable(parts, copies);
  const path = part?.path ?? '';
  expect(path).toContain(copies);
  expect((await stat(path)).mode & 0o777).toBe(0o755);
  expect((await stat(join(path, 'bin/tool'))).mode & 0o555).toBe(0o555);
  expect(await readFile(join(path, 'bin/tool'), 'utf8')).toBe('tool');
  expect((await stat(join(path, 'notes'))).ino).toBe((await stat(join(closed, 'package/notes'))).ino);
  expect(await readlink(join(path, 'link'))).toBe('notes');
  expect(await makeReadable(parts, copies)).toEqual([part]);
  expect(await readdir(copies)).toHaveLength(1);
});

test('workers that start at once create one copy', async () => {
  const parts = [{ name: 'package', path: join(closed, 'package') }];
  const made = await Promise.all([1, 2, 3].map(async () => await makeReadable(parts, copies)));
  expect(new Set(made.map(([part]) => part?.path)).size).toBe(1);
  expect(await readdir(copies)).toHaveLength(1);
});

test('a package that was installed again is copied again', async () => {
  const parts = [{ name: 'package', path: join(closed, 'package') }];
  const [before] = await makeReadable(parts, copies);
  await rm(join(closed, 'package'), { recursive: true });
  await mkdir(join(closed, 'package'), { mode: 0o755 });
  await chmod(join(closed, 'package'), 0o755);
  const [after] = await makeReadable(parts, copies);
  expect(after?.path).not.toBe(before?.path);
});
