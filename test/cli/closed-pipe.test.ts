import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, inject, test } from 'vitest';

import { newDatabase } from '../helpers/database.ts';
import { root } from '../repository/root.ts';
import { valetkey } from './valetkey.ts';

test('the demo whose reader goes away ends its job, leaves no folder behind and prints no trace', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vk-pipe-'));
  await chmod(folder, 0o755);
  const temporal = inject('temporal');
  const demo = execa(process.execPath, [join(root, 'src/dev/demo.ts'), '--agent', 'codex'], {
    extendEnv: false,
    env: {
      PATH: process.env.PATH,
      TMPDIR: folder,
      DATABASE_URL: await newDatabase(),
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      VALETKEY_TASK_QUEUE: `demo-${randomUUID()}`,
    },
    reject: false,
    buffer: { stdout: false },
  });
  demo.stdout.on('data', (text: Buffer) => text.includes('bound to the sandbox') && demo.stdout.destroy());
  const { exitCode, stderr } = await demo;
  const left = (await readdir(folder)).filter((name) => /^(vk|valetkey)-/.test(name));
  await rm(folder, { recursive: true });
  expect({ exitCode, stderr, left }).toEqual({ exitCode: 130, stderr: '', left: [] });
});

test('an error that nobody reads has its exit code all the same', async () => {
  const running = valetkey(['frobnicate']);
  running.stderr.destroy();
  expect((await running).exitCode).toBe(2);
});
