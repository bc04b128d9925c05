import { insidePaths } from '../../launch/inside.ts';
import { sharedMemoryBytes } from '../../launch/shared-memory.ts';
import { SANDBOX_UID } from '../../launch/tools.ts';
import type { FirstProgram } from '../isolator.ts';
import type { Mount } from '../mounts.ts';

/** The folder, in the bundle, of the root file system. It has links and the places of mounts, nothing else. */
export const ROOT_FOLDER = 'rootfs';

const MIB = 1024 * 1024;

/**
 * Describes a sandbox as the OCI runtime specification 1.0 does. gVisor mounts its own /proc, /sys and /dev. Control groups are joined
 * before gVisor starts, so that none is named here.
 */
export function ociConfig({ mounts, limits, env, command }: Omit<FirstProgram, 'folder' | 'groups'>): object {
  const user = { uid: SANDBOX_UID, gid: SANDBOX_UID };
  return {
    ociVersion: '1.0.2',
    hostname: 'sandbox',
    root: { path: ROOT_FOLDER, readonly: true },
    process: {
      user,
      args: command,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      cwd: insidePaths.workspace,
      capabilities: {},
      noNewPrivileges: true,
      // gVisor counts the processes of a user by sandbox.
      rlimits: [limit('RLIMIT_NPROC', limits.processes), limit('RLIMIT_FSIZE', limits.diskMiB * MIB), limit('RLIMIT_CORE', 0)],
    },
    mounts: [
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] },
      ...mounts.flatMap(bindMount),
      tmpfs('/dev/shm', sharedMemoryBytes(limits)),
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })) },
  };
}

/** A link is in the root file system itself. */
function bindMount(mount: Mount): object[] {
  if ('target' in mount) return [];
  const { at, source, isWritable } = mount;
  return [{ destination: at, type: 'bind', source, options: ['bind', isWritable ? 'rw' : 'ro'] }];
}

function tmpfs(destination: string, bytes: number): object {
  return { destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', `size=${bytes}`] };
}

function limit(type: string, value: number): object {
  return { type, hard: value, soft: value };
}
