import { expect, test } from 'vitest';

import { parseHierarchies } from '../../src/sandboxes/local/cgroup-places.ts';

const mount = (root: string, at: string, type: string, options: string): string =>
  `30 29 0:26 ${root} ${at} rw,nosuid shared:9 - ${type} ${type} ${options}\n`;

test('version 2: the process’s own group is below the single mount', () => {
  const found = parseHierarchies(
    `22 28 0:21 / /proc rw - proc proc rw\n${mount('/', '/sys/fs/cgroup', 'cgroup2', 'rw,nsdelegate')}`,
    '0::/system.slice/valetkey.service\n',
  );
  expect(found).toEqual([
    { version: 2, mountPoint: '/sys/fs/cgroup', own: '/sys/fs/cgroup/system.slice/valetkey.service', controllers: [] },
  ]);
});

test('version 1: each controller has a mount, and some controllers share one', () => {
  const found = parseHierarchies(
    mount('/', '/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct') + mount('/', '/sys/fs/cgroup/memory', 'cgroup', 'rw,memory'),
    '4:memory:/jobs/1\n1:cpu,cpuacct:/\n0::/\n',
  );
  expect(found).toEqual([
    { version: 1, mountPoint: '/sys/fs/cgroup/cpu,cpuacct', own: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'] },
    { version: 1, mountPoint: '/sys/fs/cgroup/memory', own: '/sys/fs/cgroup/memory/jobs/1', controllers: ['memory'] },
  ]);
});

test('a container that sees a part of the hierarchy has its own group where that part is mounted', () => {
  const at = '/sys/fs/cgroup/pids';
  expect(parseHierarchies(mount('/docker/1', at, 'cgroup', 'rw,pids'), '3:pids:/docker/1\n')).toMatchObject([{ own: at }]);
  expect(parseHierarchies(mount('/docker/1', at, 'cgroup', 'rw,pids'), '3:pids:/docker/1/worker\n')).toMatchObject([
    { own: `${at}/worker` },
  ]);
});

test('a host without control groups has none', () => {
  expect(parseHierarchies('', '')).toEqual([]);
});
