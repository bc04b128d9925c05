import { expect, test } from 'vitest';

import { findRuntimeProblem } from '../../../src/sandboxes/docker/gvisor-runtime.ts';

const NEEDED = ['--host-uds=all', '--overlay2=none'];

test.each([
  ['what sandboxes need', { runsc: { path: 'runsc', runtimeArgs: ['--platform=systrap', ...NEEDED] } }, /^none$/],
  ['one dash in place of two', { runsc: { path: 'runsc', runtimeArgs: NEEDED.map((argument) => argument.slice(1)) } }, /^none$/],
  ['a shim of containerd, whose arguments the engine does not know', { runsc: { runtimeType: 'io.containerd.runsc.v1' } }, /^none$/],
  ['no arguments', { runsc: { path: 'runsc' } }, /lacks --host-uds=all and --overlay2=none/],
  ['arguments that are null', { runsc: { path: 'runsc', runtimeArgs: null } }, /lacks --host-uds=all and --overlay2=none/],
  [
    'sockets in one direction only',
    { runsc: { path: 'runsc', runtimeArgs: ['--host-uds=open', '--overlay2=none'] } },
    /lacks --host-uds=all in/,
  ],
  ['another name', { 'gvisor-of-others': { path: 'runsc', runtimeArgs: NEEDED } }, /no runtime runsc/],
])('an engine’s runtime with %s', (_what, runtimes, problem) => {
  expect(findRuntimeProblem({ Runtimes: { runc: { path: 'runc' }, ...runtimes } }, 'runsc') ?? 'none').toMatch(problem);
});

test('an engine that does not say which runtimes it has has none', () => {
  for (const info of [null, {}, { Runtimes: [] }]) expect(findRuntimeProblem(info, 'runsc')).toMatch(/no runtime runsc/);
});
