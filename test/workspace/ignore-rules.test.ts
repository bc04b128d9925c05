import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { createIgnoreRules } from '../../src/workspace/ignore-rules.ts';

let root: string;
let job: string;
let cwd: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'valetkey-test-'));
  job = join(root, 'job');
  cwd = join(job, 'worker');
  await mkdir(cwd, { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const options = () => ({ path: process.env['PATH'] ?? '', cwd });

test('the folder of a sandbox that is removed meanwhile is not created again', async () => {
  const rules = await createIgnoreRules(options());
  await rename(job, join(root, 'job.ended'));
  await rules.add('', Buffer.from('*.log\n'));
  await rules.add('below', null);
  expect(await rules.findIgnored(['below/a.log'], ['below/folder'])).toEqual(new Set());
  await expect(access(job)).rejects.toThrow('ENOENT');
});

test('the folder of a sandbox that was removed before is not created again', async () => {
  await rm(job, { recursive: true });
  await expect(createIgnoreRules(options())).rejects.toThrow('ENOENT');
  await expect(access(job)).rejects.toThrow('ENOENT');
});
