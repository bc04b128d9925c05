import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';

import type { Isolation } from '../../src/contract/sandbox-provider.ts';
import { createLocalProvider } from '../../src/sandboxes/local/local.ts';
import { describeWithGvisor } from '../helpers/gvisor.ts';
import { killNow } from '../helpers/kill.ts';
import { sandboxRemains } from '../helpers/sandbox-remains.ts';
import { createRig, namespaceOf, processesOfJob } from '../sandboxes/rig.ts';
import { startAndKillWorker } from '../sandboxes/start-worker.ts';
import { describeSandboxProvider, type SandboxRig } from './sandbox.ts';

const NOBODY = 65_534;

async function startLocalRig(isolation: Isolation): Promise<SandboxRig> {
  const rig = await createRig();
  const { options } = rig;
  return {
    ...rig,
    isolation,
    colleague: createLocalProvider(options),
    stranger: createLocalProvider({ ...options, owner: 'default/stranger' }),
    startElsewhere: (jobId) => startAndKillWorker('local', options, { jobId, isolation }),
    kill: async (handle) => {
      // With the first process inside, bubblewrap and all others end.
      if (isolation === 'bubblewrap') killNow((await namespaceOf(rig.folderOf(handle.id))).pid);
      else for (const pid of await processesOfJob(rig, handle)) killNow(pid);
    },
    remains: (jobId) => sandboxRemains({ config: options }, jobId),
    visible: async (handle) => {
      const files = (await processesOfJob(rig, handle)).flatMap((pid) => [`/proc/${pid}/environ`, `/proc/${pid}/cmdline`]);
      return (await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')))).join('\n');
    },
    // As another user of the host; where the worker is none but an ordinary user, others are kept out by the same modes.
    intrude: async ({ id }) => {
      const socket = join(rig.folderOf(id), 'run/agent.sock');
      const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
      if (identity.uid === undefined) return false;
      const { failed } = await execa('curl', ['-sf', '--unix-socket', socket, 'http://sandbox/v1/health'], {
        ...identity,
        cwd: '/',
        reject: false,
      });
      return !failed;
    },
  };
}

const abilities = { isHostBound: true, reportsLimits: true, isolates: true, hasLimits: true, endsAtExpiry: true, failsAlone: true };

describeSandboxProvider('local', () => startLocalRig('bubblewrap'), abilities);
describeSandboxProvider('local without isolation', () => startLocalRig('none'), { ...abilities, isolates: false });
describeWithGvisor(() => {
  describeSandboxProvider('local under gVisor', () => startLocalRig('gvisor'), { ...abilities, failsAlone: false });
});
