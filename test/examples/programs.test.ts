import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { expectEnded } from '../helpers/ended.ts';
import { jobSpec, useStack } from '../helpers/stack.ts';
import { root } from '../repository/root.ts';
import { example } from './example.ts';

const stack = useStack();

test('the code of the README is that of submit-and-wait, which is typechecked', async () => {
  const [readme, code] = await Promise.all(['README.md', 'examples/submit-and-wait.ts'].map((file) => readFile(join(root, file), 'utf8')));
  const block = /```ts\n([\s\S]*?)```/.exec(readme ?? '')?.[1] ?? '';
  expect(block).toContain('createClient');
  expect(code).toContain(block);
});

test('tenant-spend prints a line for each job of the tenant, with its sum', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ tenant: 'spender' }));
  const { usage } = await client.jobs.result(jobId);
  const { stdout } = await example(stack(), 'tenant-spend.ts', ['spender']);
  const [head, line, ...rest] = stdout.split('\n');
  expect(head).toBe('job,keys,first,usd,estimated,settled');
  expect(rest).toEqual([]);
  const cells = line?.split(',') ?? [];
  expect([cells[0], cells[1], Number(cells[3]), cells[5]]).toEqual([jobId, '1', Number(usage.usd.toFixed(6)), 'true']);
  expect(await example(stack(), 'tenant-spend.ts')).toMatchObject({ exitCode: 1 });
});

test('rotate-keys gives a job that waits its next key', async () => {
  const { client } = stack();
  const { jobId } = await client.jobs.submit(jobSpec({ agent: 'mock', prompts: ['!say one'], keepOpen: '2m' }));
  await expect.poll(async () => (await client.jobs.status(jobId)).phase).toBe('waiting');
  const {
    items: [key],
  } = await client.keys.list({ jobId });
  expect(await example(stack(), 'rotate-keys.ts', ['1'])).toMatchObject({ exitCode: 0, stdout: '' });
  const { exitCode, stdout } = await example(stack(), 'rotate-keys.ts', ['0']);
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringContaining(`${key?.ref} is followed by`) as unknown });
  await client.jobs.cancel(jobId);
  const { keys } = await expectEnded(stack(), jobId, { outcome: 'cancelled', code: 'cancelled' });
  expect(new Set(keys.map(({ ref }) => ref.split('/').at(-1)))).toEqual(new Set(['1', '2']));
});
