// Nothing of the worker's world reaches a sandbox: a sandbox sees what its job was given, and its network is the gateway, no more.
// Here a program inside looks at its environment, at every process and at the file system, and knocks at every listener of the
// host. It finds what its job was given, and the gateway.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { expect, test } from 'vitest';

import type { Isolation } from '../../../src/contract/sandbox-provider.ts';
import { describeConfinement } from '../../conformance/confinement.ts';
import { describeWithGvisor } from '../../helpers/gvisor.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { createRig, processesOfJob, run } from '../../sandboxes/rig.ts';
import { STARTER } from '../../sandboxes/start-worker.ts';

const CANARY = 'canary-of-the-worker';

describeConfinement('local', 'bubblewrap', async () => ({ ...(await createRig()), ownPlaces: [] }));

test('nothing that the worker’s parent had open is open inside', async () => {
  const { open, folder } = await openInside('bubblewrap');
  expect(open).not.toContain(folder);
});

describeWithGvisor(() => {
  describeConfinement('local under gVisor', 'gvisor', async () => ({ ...(await createRig()), ownPlaces: [] }));

  test('nothing that the worker’s parent had open is open inside, or in what serves the sandbox', async () => {
    const { open, folder } = await openInside('gvisor');
    expect(open).not.toContain(folder);
  });
});

/** Starts a sandbox in a worker whose parent had a file of `folder` open, and lists what its processes have open, inside and on the host. */
async function openInside(isolation: Isolation): Promise<{ open: string; folder: string }> {
  const rig = await createRig();
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'open'), CANARY);
  const args = [
    '-c',
    'exec 200< "$1"; shift; exec "$@"',
    'bash',
    join(folder, 'open'),
    process.execPath,
    STARTER,
    'local',
    JSON.stringify(rig.options),
    JSON.stringify({ jobId: 'inherits', isolation }),
  ];
  const worker = spawn('bash', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface(worker.stdout), 'line');
  const handle = await rig.provider.start({ jobId: 'inherits', agent: 'codex', isolation });
  const connection = rig.provider.connect(handle);
  const open = [await run(connection, 'ls -l /proc/[0-9]*/fd 2> /dev/null')];
  for (const pid of await processesOfJob(rig, handle)) if (!(await isOutside(pid))) open.push(await openFiles(pid));
  await connection.close();
  worker.kill('SIGKILL');
  await rig.close();
  return { open: open.join('\n'), folder };
}

/** The program that started the sandbox is in none itself. */
async function isOutside(pid: number): Promise<boolean> {
  return (await readlink(`/proc/${pid}/ns/pid`)) === (await readlink('/proc/self/ns/pid'));
}

async function openFiles(pid: number): Promise<string> {
  const files = await readdir(`/proc/${pid}/fd`);
  return (await Promise.all(files.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))).join('\n');
}
