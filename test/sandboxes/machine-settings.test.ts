import { homedir } from 'node:os';
import { dirname } from 'node:path';

import { expect, test } from 'vitest';

import { loadConfig } from '../../src/config/config.ts';

const STATE = '/data/valetkey/state';

test('operators set limits, mounts and folders of PATH', () => {
  const { sandboxes } = loadConfig({
    VALETKEY_SANDBOX_LIMITS: 'cpus=2,memoryMiB=4096',
    VALETKEY_SANDBOX_MAX_LIMITS: 'cpus=8',
    VALETKEY_SANDBOX_MOUNTS: '/opt/jdk:/opt/maven',
    VALETKEY_SANDBOX_PATH: '/opt/jdk/bin',
  });
  expect(sandboxes).toEqual({
    limits: { defaults: { cpus: 2, memoryMiB: 4096 }, maxima: { cpus: 8 } },
    mounts: ['/opt/jdk', '/opt/maven'],
    path: ['/opt/jdk/bin'],
  });
});

test.each([
  ...[
    '/',
    '/etc',
    '/etc/maven',
    '/usr',
    '/home',
    '/home/operator',
    '/root',
    '/proc',
    '/run/secrets',
    '/var',
    '/tmp',
    'opt/jdk',
    '/opt/../etc',
    '//etc',
    '/opt//jdk',
    '/opt/jdk/',
    '/opt/.',
  ],
  ...[homedir(), dirname(homedir()), '/data', '/data/valetkey', STATE, `${STATE}/jobs`],
])('the mount %s is refused', (mount) => {
  const load = (): object => loadConfig({ VALETKEY_STATE_DIR: STATE, VALETKEY_SANDBOX_MOUNTS: `/opt/jdk:${mount}` });
  expect(load).toThrow('VALETKEY_SANDBOX_MOUNTS');
  expect(load).toThrow(expect.objectContaining({ code: 'invalid_config' }));
});

test.each(['cpus', 'memory=1', 'diskMiB=1'])('the limits %s are refused', (VALETKEY_SANDBOX_LIMITS) => {
  expect(() => loadConfig({ VALETKEY_SANDBOX_LIMITS })).toThrow('VALETKEY_SANDBOX_LIMITS');
});
