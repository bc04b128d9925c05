// Nothing of the worker's world reaches a sandbox: a sandbox sees what its job was given, and its network is the gateway, no more.
// Here a program inside looks at its environment, at every process and at the file system, and knocks at every listener of the
// host. It finds what its job was given, and the gateway.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { expect, test } from 'vitest';

import { describeConfinement } from '../../conformance/confinement.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { createRig, run } from '../../sandboxes/rig.ts';
import { STARTER } from '../../sandboxes/start-worker.ts';

const CANARY = 'canary-of-the-worker';

describeConfinement('local', 'bubblewrap', async () => ({ ...(await createRig()), ownPlaces: [] }));

test('nothing that the worker’s parent had open is open inside', async () => {
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
    JSON.stringify({ jobId: 'inherits', isolation: 'bubblewrap' }),
  ];
  const worker = spawn('bash', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface(worker.stdout), 'line');
  const connection = rig.provider.connect(await rig.provider.start({ jobId: 'inherits', agent: 'codex', isolation: 'bubblewrap' }));
  expect(await run(connection, 'ls -l /proc/[0-9]*/fd 2> /dev/null')).not.toContain(folder);
  await connection.close();
  worker.kill('SIGKILL');
  await rig.close();
});
