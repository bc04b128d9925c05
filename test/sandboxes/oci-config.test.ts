import { expect, test } from 'vitest';

import { ociConfig } from '../../src/sandboxes/local/gvisor/oci-config.ts';

const MIB = 1024 * 1024;

test('a sandbox is described with its mounts, its user, its limits and nothing that it may not have', () => {
  const config = ociConfig({
    mounts: [
      { at: '/usr', source: '/usr', isWritable: false },
      { at: '/bin', target: 'usr/bin' },
      { at: '/workspace', source: '/state/jobs/a/b/workspace', isWritable: true },
    ],
    limits: { cpus: 1, memoryMiB: 1000, processes: 50, diskMiB: 10 },
    env: { HOME: '/home/agent', TEXT: 'a=b c' },
    command: ['node', 'init.js'],
  });
  expect(config).toMatchObject({
    root: { readonly: true },
    process: {
      ...{ user: { uid: 10_001, gid: 10_001 }, args: ['node', 'init.js'], env: ['HOME=/home/agent', 'TEXT=a=b c'], cwd: '/workspace' },
      ...{ capabilities: {}, noNewPrivileges: true },
      rlimits: [
        { type: 'RLIMIT_NPROC', hard: 50, soft: 50 },
        { type: 'RLIMIT_FSIZE', hard: 10 * MIB, soft: 10 * MIB },
        { type: 'RLIMIT_CORE', hard: 0, soft: 0 },
      ],
    },
    mounts: [
      { destination: '/sys', type: 'sysfs', options: ['ro'] },
      { destination: '/usr', type: 'bind', source: '/usr', options: ['bind', 'ro'] },
      { destination: '/workspace', type: 'bind', source: '/state/jobs/a/b/workspace', options: ['bind', 'rw'] },
      { destination: '/dev/shm', type: 'tmpfs', options: expect.arrayContaining([`size=${250 * MIB}`]) as unknown },
    ],
  });
});
