import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { createLocalProvider } from '../../src/sandboxes/local/local.ts';
import { createRig, namespaceOf, processesOfJob, processesOfNamespace, type Rig } from './rig.ts';
import { startAndKillWorker } from './start-worker.ts';

const isRoot = process.getuid?.() === 0;

let rig: Rig;
beforeAll(async () => {
  rig = await createRig();
});
afterAll(async () => {
  await rig.close();
});

test.each(['bubblewrap', 'none'] as const)('with isolation %s no process of a sandbox is the host’s root', async (isolation) => {
  const handle = await rig.provider.start({ jobId: `user-${isolation}`, agent: 'codex', isolation });
  const pids = await processesOfJob(rig, handle);
  expect(pids.length).toBeGreaterThan(1);
  for (const pid of pids) expect(await uidOf(pid)).toBe(isRoot ? 10_001 : process.getuid?.());
  await rig.provider.stop(`user-${isolation}`);
});

test('a start that looks at one that just came up joins it', async () => {
  const providers = Array.from({ length: 12 }, () => createLocalProvider(rig.options));
  // The moments that matter are short: one that comes up while another start looks at it.
  for (const jobId of ['at-once-1', 'at-once-2', 'at-once-3', 'at-once-4', 'at-once-5', 'at-once-6', 'at-once-7', 'at-once-8']) {
    const request = { jobId, agent: 'codex', isolation: 'bubblewrap' } as const;
    const handles = await Promise.all([rig.provider, ...providers].map(async (provider) => await provider.start(request)));
    handles.push(await rig.provider.start(request));
    expect(new Set(handles.map(({ id }) => id)).size).toBe(1);
    await rig.provider.stop(jobId);
  }
});

test('a sandbox whose stop was cut off is still listed, and the next stop ends it', async () => {
  const { provider, options } = rig;
  const jobId = 'half-ended';
  const handle = await provider.start({ jobId, agent: 'codex', isolation: 'bubblewrap' });
  const pids = await processesOfJob(rig, handle);
  // The first step of a stop, after which its worker may be killed.
  const folder = join(options.stateDir, 'jobs', handle.id.slice(0, 20));
  await rename(folder, `${folder}.ended-0123abcd`);
  expect((await provider.list()).filter((listed) => listed.jobId === jobId)).toMatchObject([{ id: handle.id, jobId }]);
  await provider.stop(jobId);
  expect(await filter(pids, isLiving)).toEqual([]);
  expect((await provider.list()).filter((listed) => listed.jobId === jobId)).toEqual([]);
});

test.runIf(isRoot)('a sandbox with a file that cannot be removed is still listed, and a later stop ends it', async () => {
  const { provider } = rig;
  const jobId = 'immovable';
  const handle = await provider.start({ jobId, agent: 'codex', isolation: 'bubblewrap' });
  const file = join(rig.folderOf(handle.id), 'workspace', 'file');
  await writeFile(file, '');
  await execa('chattr', ['+i', file]);
  await expect(provider.stop(jobId)).rejects.toThrow(/\.ended-/);
  const [ended = ''] = (await readdir(join(rig.options.stateDir, 'jobs'))).filter((name) => handle.id.startsWith(name.slice(0, 20)));
  expect((await provider.list()).filter((listed) => listed.jobId === jobId)).toMatchObject([{ id: handle.id, jobId }]);
  await execa('chattr', ['-i', join(rig.options.stateDir, 'jobs', ended, handle.id.slice(21), 'workspace', 'file')]);
  await provider.stop(jobId);
  expect((await provider.list()).filter((listed) => listed.jobId === jobId)).toEqual([]);
});

test('a sandbox is stopped also where its worker was killed before anything was recorded', async () => {
  const handle = await startAndKillWorker('local', rig.options, { jobId: 'unrecorded', isolation: 'bubblewrap' });
  const { namespace } = await namespaceOf(rig.folderOf(handle.id));
  await writeFile(join(rig.folderOf(handle.id), 'bwrap.json'), '');
  await rig.provider.stop('unrecorded');
  expect(await processesOfNamespace(namespace)).toEqual([]);
});

test('a record that names a process of the host kills no process', async () => {
  const handle = await rig.provider.start({ jobId: 'forged', agent: 'codex', isolation: 'bubblewrap' });
  const bystander = spawn('sleep', ['600'], { stdio: 'ignore' });
  const { namespace } = await namespaceOf(rig.folderOf(handle.id));
  const hostNamespace = (await stat('/proc/self/ns/pid')).ino;
  await writeFile(
    join(rig.folderOf(handle.id), 'bwrap.json'),
    JSON.stringify({ 'child-pid': bystander.pid, 'pid-namespace': hostNamespace }),
  );
  await rig.provider.stop('forged');
  expect(await processesOfNamespace(namespace)).toEqual([]);
  expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
  bystander.kill('SIGKILL');
});

test('a broken bubblewrap on PATH is skipped', async () => {
  const folder = join(rig.options.stateDir, 'broken');
  await mkdir(folder);
  await writeFile(join(folder, 'bwrap'), '#!/bin/sh\nexit 1\n');
  await chmod(join(folder, 'bwrap'), 0o755);
  const provider = createLocalProvider({ ...rig.options, path: folder });
  const handle = await provider.start({ jobId: 'broken', agent: 'codex', isolation: 'bubblewrap' });
  expect(await rig.isAlive(handle)).toBe(true);
  await provider.stop('broken');
});

test.runIf(isRoot)('a state folder that the sandboxes’ user cannot enter is named in the error', async () => {
  const stateDir = join(rig.options.stateDir, 'closed');
  await mkdir(stateDir, { mode: 0o700 });
  const provider = createLocalProvider({ ...rig.options, stateDir });
  const failing = provider.start({ jobId: 'closed', agent: 'codex', isolation: 'none' });
  await expect(failing).rejects.toMatchObject({ code: 'sandbox_start_failed' });
  await expect(failing).rejects.toThrow(stateDir);
});

async function isLiving(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ');
  return !text.includes(') Z ');
}

async function uidOf(pid: number): Promise<number> {
  return Number(/^Uid:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

async function filter<T>(items: readonly T[], predicate: (item: T) => Promise<boolean>): Promise<T[]> {
  const kept = await Promise.all(items.map(predicate));
  return items.filter((_, index) => kept[index]);
}
