import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { readKeyringFile } from '../../src/secrets/keyring-file.ts';
import { valetkey } from './valetkey.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vk-ring-'));
  path = join(folder, 'keyring.json');
});
afterEach(() => rm(folder, { recursive: true }));

const rotate = (): ReturnType<typeof valetkey> => valetkey(['keyring', 'rotate'], { env: { VALETKEY_KEYRING: path } });

test('a ring is made for its owner alone, and rotated by three at once: what is printed for a shell holds no secret', async () => {
  const made = await valetkey(['keyring', 'create'], { env: { VALETKEY_KEYRING: path } });
  const rotations = await Promise.all([rotate(), rotate(), rotate()]);
  for (const { stdout, stderr, exitCode } of [made, ...rotations]) {
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^VALETKEY_KEYRING=\/.+\nVALETKEY_SEALING_PUBLIC_KEY=[\w-]+$/);
    for (const secret of secretsIn(await readFile(path, 'utf8'))) expect(stdout).not.toContain(secret);
  }
  const { rootKeys, sealingKeys } = readKeyringFile(path).content;
  expect([rootKeys.length, sealingKeys.length]).toEqual([4, 4]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('an installation with variables goes over to a ring that begins with their keys', async () => {
  const key = Buffer.alloc(32, 'made-up').toString('base64');
  const { stdout, exitCode } = await valetkey(['keyring', 'create', path], { env: { VALETKEY_ROOT_KEY: key } });
  expect(exitCode).toBe(0);
  expect(stdout).not.toContain(key);
  expect(readKeyringFile(path).content.rootKeys).toMatchObject([{ key }]);
});

test.each([
  ['without a path', ['rotate'], {}, 'VALETKEY_KEYRING is not set'],
  ['with a path that leads nowhere', ['rotate'], { VALETKEY_KEYRING: '/nowhere/keyring.json' }, 'ENOENT'],
  [
    'beside a variable',
    ['list'],
    { VALETKEY_KEYRING: '/nowhere/keyring.json', VALETKEY_ROOT_KEY: Buffer.alloc(32, 'made-up').toString('base64') },
    'VALETKEY_ROOT_KEY: must not be set beside VALETKEY_KEYRING',
  ],
])('%s there is no ring: exit code 2', async (_what, args, env, message) => {
  const { stdout, stderr, exitCode } = await valetkey(['keyring', ...args], { env });
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(message);
});

/** Whatever in a ring's text must not show. */
function secretsIn(text: string): string[] {
  return [...text.matchAll(/"(?:key|d)": ?"([^"]+)"/g)].map(([, secret = '']) => secret);
}
