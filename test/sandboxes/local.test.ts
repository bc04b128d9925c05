import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';

import { claude } from '../../src/agents/claude.ts';
import { codex } from '../../src/agents/codex.ts';
import { ValetkeyError } from '../../src/contract/errors.ts';
import { createLocalProvider } from '../../src/sandboxes/local/local.ts';
import { SERVER_AGENT, type SandboxHandle } from '../../src/sandboxes/sandbox.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { bindKey } from '../../src/session/bind-key.ts';
import { killNow } from '../helpers/kill.ts';
import { createRig, namespaceOf, processesOfNamespace, run, type Rig } from './rig.ts';

const starterFile = fileURLToPath(new URL('./starter.ts', import.meta.url));
const isRoot = process.getuid?.() === 0;

let rig: Rig;
beforeAll(async () => {
  rig = await createRig();
});
afterAll(async () => {
  await rig.close();
});

describe.each(['bubblewrap', 'none'] as const)('with isolation %s', (isolation) => {
  test('a sandbox that was started answers, reaches the gateway, and is not the host’s root', async () => {
    const { provider } = rig;
    const handle = await provider.start({ jobId: `answers-${isolation}`, agent: 'codex', isolation });
    expect(handle).toMatchObject({ provider: 'local', isolation, hostTaskQueue: 'host-of-tests' });
    expect(await rig.isAlive(handle)).toBe(true);
    const connection = provider.connect(handle);
    expect((await connection.fetch('/v1/health')).status).toBe(200);
    expect(await run(connection, `curl -s ${connection.paths.gatewayUrl}/from-${isolation}`)).toBe('gateway');
    expect(rig.requests).toContain(`GET /from-${isolation}`);
    expect(await run(connection, `cd && pwd && cd - > /dev/null && pwd`)).toBe(`${connection.paths.home}\n${connection.paths.workspace}\n`);
    await connection.close();

    const pids = await processesOfJob(handle);
    expect(pids.length).toBeGreaterThan(1);
    for (const pid of pids) expect(await uidOf(pid)).toBe(isRoot ? 10_001 : process.getuid?.());
  });

  test('stop leaves no process, socket or file, not even of processes that the agent detached', async () => {
    const { provider, options } = rig;
    const handle = await provider.start({ jobId: `stops-${isolation}`, agent: 'codex', isolation });
    const connection = provider.connect(handle);
    await run(
      connection,
      'mkdir -p read/only && touch read/only/file && chmod 500 read/only read; setsid sleep 600 > /dev/null 2>&1 < /dev/null &',
    );
    await connection.close();
    const pids = await processesOfJob(handle);
    await provider.stop(`stops-${isolation}`);
    expect(await filter(pids, isLiving)).toEqual([]);
    expect((await readdir(join(options.stateDir, 'jobs'))).filter((name) => handle.id.startsWith(name.slice(0, 20)))).toEqual([]);
    expect(await rig.isAlive(handle)).toBe(false);
    await expect(provider.connect(handle).fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
    await provider.stop(`stops-${isolation}`);
  });

  test.each(['codex', 'claude'] as const)('%s answers initialize in the sandbox', async (agent) => {
    const { provider } = rig;
    const connection = provider.connect(await provider.start({ jobId: `${agent}-${isolation}`, agent, isolation }));
    await bindKey(connection, { codex, claude }[agent], new Secret('no key'), { model: 'none', permissions: 'allow' });
    const response = await connection.fetch(`/v1/acp/main?agent=${SERVER_AGENT}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: 1, clientCapabilities: {} } }),
      signal: AbortSignal.timeout(50_000),
    });
    expect(await response.json()).toMatchObject({ id: 1, result: { protocolVersion: 1 } });
    await connection.close();
    await provider.stop(`${agent}-${isolation}`);
  });
});

test('several starts at once give one sandbox, and so does a later one', async () => {
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

test('a sandbox that has ended is replaced by the next start', async () => {
  const request = { jobId: 'died', agent: 'codex', isolation: 'bubblewrap' } as const;
  const first = await rig.provider.start(request);
  const connection = rig.provider.connect(first);
  killNow((await namespaceOf(rig.folderOf(first.id))).pid);
  await expect.poll(async () => await rig.isAlive(first)).toBe(false);
  await expect(connection.fetch('/v1/health')).rejects.toMatchObject({ code: 'sandbox_lost' });
  const second = await rig.provider.start(request);
  expect(second.id).not.toBe(first.id);
  expect(await rig.isAlive(second)).toBe(true);
  await connection.close();
});

test('a sandbox whose stop was cut off is still listed, and the next stop ends it', async () => {
  const { provider, options } = rig;
  const jobId = 'half-ended';
  const handle = await provider.start({ jobId, agent: 'codex', isolation: 'bubblewrap' });
  const pids = await processesOfJob(handle);
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

test('a sandbox survives its worker and is stopped by another process', async () => {
  const handle = await startAndKillWorker('survives');
  expect(await rig.isAlive(handle)).toBe(true);
  const connection = rig.provider.connect(handle);
  expect((await connection.fetch('/v1/health')).status).toBe(200);
  await connection.close();
  const { namespace } = await namespaceOf(rig.folderOf(handle.id));
  await rig.provider.stop('survives');
  expect(await processesOfNamespace(namespace)).toEqual([]);
  await expect(stat(rig.folderOf(handle.id))).rejects.toThrow('ENOENT');
});

test('a sandbox is stopped also where its worker was killed before anything was recorded', async () => {
  const handle = await startAndKillWorker('unrecorded');
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

test('a stop during a start ends it, and nothing of it is left', async () => {
  const { provider, options } = rig;
  const jobs = join(options.stateDir, 'jobs');
  const before = await readdir(jobs);
  const outcome = provider.start({ jobId: 'overtaken', agent: 'codex', isolation: 'bubblewrap' }).then(
    () => 'started',
    (error: unknown) => (ValetkeyError.is(error) ? error.code : 'unknown'),
  );
  await expect.poll(async () => (await readdir(jobs)).length, { interval: 1 }).toBeGreaterThan(before.length);
  await provider.stop('overtaken');
  expect(await outcome).toBe('sandbox_start_failed');
  expect(await readdir(jobs)).toEqual(before);
});

test('an aborted start leaves no process and no file', async () => {
  const before = await readdir(join(rig.options.stateDir, 'jobs'));
  const aborted = rig.provider.start({ jobId: 'aborted', agent: 'codex', isolation: 'bubblewrap' }, AbortSignal.timeout(5));
  await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(await readdir(join(rig.options.stateDir, 'jobs'))).toEqual(before);
});

test('stop of an unknown job resolves', async () => {
  await expect(rig.provider.stop('never-was')).resolves.toBeUndefined();
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

const handleSchema = z.object({
  provider: z.literal('local'),
  id: z.string(),
  isolation: z.enum(['bubblewrap', 'none']),
  hostTaskQueue: z.string().nullable(),
});

/** Starts a sandbox in a worker of its own, which is killed as soon as the sandbox is up. */
async function startAndKillWorker(jobId: string): Promise<SandboxHandle> {
  const worker = spawn(process.execPath, [starterFile, JSON.stringify(rig.options), jobId], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = z.tuple([z.string()]).parse(await once(createInterface(worker.stdout), 'line'));
  const gone = once(worker, 'exit');
  worker.kill('SIGKILL');
  await gone;
  return handleSchema.parse(JSON.parse(line));
}

/** Those that bear the job's home in their environment, or live in its namespace. */
async function processesOfJob({ id, isolation }: SandboxHandle): Promise<number[]> {
  const folder = rig.folderOf(id);
  if (isolation === 'bubblewrap') return await processesOfNamespace((await namespaceOf(folder)).namespace);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  return await filter(pids, async (pid) => (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(folder));
}

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
