import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createLocalProvider } from '../../src/sandboxes/local/local.ts';
import type { SandboxHandle } from '../../src/sandboxes/sandbox.ts';
import { describeWithGvisor } from '../helpers/gvisor.ts';
import { killNow } from '../helpers/kill.ts';
import { sandboxRemains } from '../helpers/sandbox-remains.ts';
import { createRig, processesOfJob, run, type Rig } from './rig.ts';

const NOTICE_TIMEOUT_MS = 5_000;

let rig: Rig;
beforeAll(async () => {
  rig = await createRig();
});
afterAll(async () => {
  await rig.close();
});

describe.runIf(process.getuid?.() === 0)('a host without gVisor', () => {
  test.each([
    ['has none', undefined, /runsc is not on PATH.*VALETKEY_RUNSC/],
    [
      'has another program at the path',
      '#!/bin/sh\necho "it cannot be done" >&2; exit 1\n',
      /does not work on this host.*it cannot be done/,
    ],
    ['has an old one', '#!/bin/sh\necho "flag provided but not defined: -host-uds" >&2; exit 2\n', /too old.*Install a release/],
    ['has a file that is no program', '', /not an executable file.*Correct VALETKEY_RUNSC/],
  ])('that %s refuses the job at once, and starts nothing else in its place', async (name, script, message) => {
    const folder = join(rig.options.stateDir, `without-${name.length}`);
    await mkdir(folder);
    const runsc = script === undefined ? undefined : join(folder, 'runsc');
    if (runsc !== undefined && script !== undefined) {
      await writeFile(runsc, script);
      await chmod(runsc, script === '' ? 0o644 : 0o755);
    }
    const provider = createLocalProvider({ ...rig.options, runsc, path: folder });
    const jobId = `without-${name}`;
    const refused = provider.start({ jobId, agent: 'mock', isolation: 'gvisor' });
    await expect(refused).rejects.toMatchObject({ code: 'isolation_unavailable', message: expect.stringMatching(message) as unknown });
    expect(await sandboxRemains({ config: rig.options }, jobId)).toEqual([]);
    const problems = (await createLocalProvider({ ...rig.options, runsc }).check?.()) ?? [];
    expect(problems.map(({ code }) => code)).toEqual(runsc === undefined ? [] : ['isolation_unavailable']);
  });
});

describeWithGvisor(() => {
  test('a host that has gVisor reports no problem', async () => {
    expect(await rig.provider.check?.()).toEqual([]);
  });

  test.each(['runsc-gofer', 'runsc-sandbox', 'run'])(
    'a sandbox whose process %s is killed is lost within 5 s, and leaves no process',
    async (name) => {
      const handle = await start(`killed-${name}`);
      const sandbox = rig.provider.connect(handle);
      const running = run(sandbox, 'touch runs; sleep 600', 700_000).then(() => 'ended', codeOf);
      await run(sandbox, 'while ! [ -e runs ]; do sleep 0.05; done');
      const pids = await processesOfJob(rig, handle);
      const named = await filter(pids, async (pid) => (await wordsOf(pid)).includes(name));
      expect(named).toHaveLength(1);
      const killedAtMs = performance.now();
      for (const pid of named) killNow(pid);
      expect(await running).toBe('sandbox_lost');
      expect(performance.now() - killedAtMs).toBeLessThan(NOTICE_TIMEOUT_MS);
      await expect.poll(async () => processesOfJob(rig, handle)).toEqual([]);
      await sandbox.close();
      await rig.provider.stop(`killed-${name}`);
    },
  );

  test('a sandbox leaves no mount and no file of gVisor on the host, whether it ended by itself or was killed', async () => {
    const before = await leftovers();
    const handle = await start('leaves-nothing');
    for (const pid of await processesOfJob(rig, handle)) killNow(pid);
    await rig.provider.stop('leaves-nothing');
    await start('leaves-nothing');
    await rig.provider.stop('leaves-nothing');
    expect(await leftovers()).toEqual(before);
  });

  test('a state folder with a path longer than a socket’s address is used like any other', async () => {
    const before = await leftovers();
    const stateDir = join(rig.options.stateDir, 'long'.repeat(30));
    const provider = createLocalProvider({ ...rig.options, stateDir });
    const request = { jobId: 'long-path', agent: 'mock', isolation: 'gvisor' } as const;
    const sandbox = provider.connect(await provider.start(request));
    expect((await sandbox.fetch('/v1/health')).status).toBe(200);
    expect(await leftovers()).toEqual(before);
    await sandbox.close();
    await provider.stop('long-path');
    expect(await sandboxRemains({ config: { stateDir } }, 'long-path')).toEqual([]);
  });

  test('a gateway that starts again is reached, by the socket that it puts in the place of the old one', async () => {
    const handle = await start('gateway');
    const sandbox = rig.provider.connect(handle);
    expect(await run(sandbox, `curl -s ${sandbox.paths.gatewayUrl}/`)).toBe('gateway');
    const next = createServer((_request, response) => response.end('next gateway'));
    const socket = join(rig.options.socketDir, 'gateway.sock');
    await new Promise<void>((resolve) => next.listen(`${socket}.next`, resolve));
    await chmod(`${socket}.next`, 0o666);
    await rename(`${socket}.next`, socket);
    expect(await run(sandbox, `curl -s ${sandbox.paths.gatewayUrl}/`)).toBe('next gateway');
    await sandbox.close();
    await rig.provider.stop('gateway');
    next.close();
  });

  test('the variables of the job are in no argument and no environment of the host’s processes', async () => {
    const env = { CANARY: 'canary-of-the-job' };
    const handle = await rig.provider.start({ jobId: 'variables', agent: 'mock', isolation: 'gvisor', env });
    const sandbox = rig.provider.connect(handle);
    expect(await run(sandbox, 'echo $CANARY')).toBe('canary-of-the-job\n');
    const pids = await processesOfJob(rig, handle);
    expect(pids.length).toBeGreaterThan(2);
    for (const pid of pids)
      for (const file of ['cmdline', 'environ']) expect(await readFile(`/proc/${pid}/${file}`, 'utf8')).not.toContain('canary-of-the-job');
    expect((await stat(join(rig.folderOf(handle.id), 'gvisor/config.json'))).mode & 0o777).toBe(0o600);
    await sandbox.close();
    await rig.provider.stop('variables');
  });

  test('limits hold: processes as gVisor counts them, memory as runtimes read it, the size of a file', async () => {
    const limits = { memoryMiB: 1024, processes: 60, diskMiB: 10 };
    const handle = await rig.provider.start({ jobId: 'limits', agent: 'mock', isolation: 'gvisor', limits });
    const sandbox = rig.provider.connect(handle);
    expect(await run(sandbox, 'ulimit -c; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2')).toBe(`0\n${256 * 1024}\n`);
    expect(await run(sandbox, 'head -c 20000000 /dev/zero > large 2> /dev/null || stat -c %s large')).toBe(`${10 * 1024 * 1024}\n`);
    expect(await run(sandbox, 'node -p "process.constrainedMemory()"')).toBe(`${1024 * 1024 * 1024}\n`);
    expect(await run(sandbox, '(for i in $(seq 100); do sleep 5 & done) 2>&1; true').catch(String)).toContain('fork');
    expect((await sandbox.fetch('/v1/health')).status).toBe(200);
    await sandbox.close();
    await rig.provider.stop('limits');
  });
});

async function start(jobId: string): Promise<SandboxHandle> {
  return rig.provider.start({ jobId, agent: 'mock', isolation: 'gvisor' });
}

/** Mounts of this host, and files of gVisor where it keeps them by default. */
async function leftovers(): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').filter((line) => line.includes(rig.options.stateDir));
  const files = await Promise.all(['/run', '/var/run', '/tmp'].map((folder) => readdir(folder)));
  return [...mounts, ...files.flat().filter((name) => name.startsWith('runsc-') && name.endsWith('.sock'))];
}

async function wordsOf(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
}

async function filter<T>(all: readonly T[], keep: (one: T) => Promise<boolean>): Promise<T[]> {
  const kept = await Promise.all(all.map(keep));
  return all.filter((_, index) => kept[index]);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error;
}
