import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { execa } from 'execa';

import type { SandboxLimits } from '../../contract/limits-spec.ts';
import { hasErrorCode } from '../../system/error-code.ts';
import { type UserIdentity } from '../launch/tools.ts';
import { parseHierarchies, type Hierarchy } from './cgroup-places.ts';

const SETPRIV = '/usr/bin/setpriv';
const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;
const GROUP_NAME_PREFIX = 'valetkey-';
const CPU_PERIOD_US = 100_000;
const MIB = 1024 * 1024;
const MAX_REMOVE_ATTEMPTS = 100;

type Controller = (typeof CONTROLLERS)[number];

/** A folder in which control groups can be created. Version 2 has one for all controllers. */
export interface GroupParent {
  version: 1 | 2;
  folder: string;
  controllers: Controller[];
  /** The path at which a sandbox sees its own group. */
  seenAt: string;
}

/** A control group of one sandbox. */
export interface Group extends GroupParent {
  /** The folder of the group. */
  path: string;
}

/**
 * Finds where this process can create control groups: below its own group, else beside it, else at the top; with version 1 below
 * its own. Empty where it may not, as for an ordinary user without delegation and in most containers.
 */
export async function findGroupParents(identity: UserIdentity): Promise<GroupParent[]> {
  if (identity.uid !== undefined && !(await isExecutable(SETPRIV))) return [];
  const [mountInfo, cgroups] = await Promise.all(
    ['/proc/self/mountinfo', '/proc/self/cgroup'].map((file) => readFile(file, 'utf8').catch(() => '')),
  );
  const hierarchies = parseHierarchies(mountInfo ?? '', cgroups ?? '');
  const parents: GroupParent[] = [];
  for (const hierarchy of hierarchies) {
    const parent = await parentIn(hierarchy);
    // The same hierarchy may be mounted several times.
    const isNew = parent?.controllers.every((name) => !parents.some(({ controllers }) => controllers.includes(name))) === true;
    if (parent !== undefined && isNew && (await canJoin(parent, identity))) parents.push(parent);
  }
  return parents;
}

/** Creates the groups of a sandbox and sets its limits. Throws the file system’s errors. */
export async function createGroups(groups: readonly Group[], limits: SandboxLimits): Promise<void> {
  for (const group of groups) {
    await mkdir(group.path);
    for (const [file, value] of limitFiles(group, limits)) {
      // Only some kernels have the files that limit swap.
      const isOptional = /swap|memsw/.test(file);
      await writeFile(join(group.path, file), value).catch((error: unknown) => {
        if (!isOptional) throw error;
      });
    }
  }
}

/** Returns the groups of the sandbox with this id, without creating them. */
export function groupsOf(parents: readonly GroupParent[], sandboxId: string): Group[] {
  const name = GROUP_NAME_PREFIX + sandboxId.replace('/', '-');
  return parents.map((parent) => ({ ...parent, path: join(parent.folder, name) }));
}

/**
 * Returns the arguments to put before a command, so that it starts in the groups and as the sandboxes’ user. The command sees
 * nothing of the shell that does this.
 */
export function joinCommand(groups: readonly Group[], { uid, gid }: UserIdentity): string[] {
  if (groups.length === 0) return [];
  const files = groups.map(({ path }) => join(path, 'cgroup.procs'));
  const script = `for file in ${files.map((_, index) => `"$${index + 1}"`).join(' ')}; do echo 0 > "$file" || exit 1; done; shift ${files.length}; exec env -u PWD -u OLDPWD -u SHLVL -u _ "$@"`;
  const become = uid === undefined || gid === undefined ? [] : [SETPRIV, `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--'];
  return ['/bin/sh', '-c', script, 'sh', ...files, ...become];
}

/** Counts since the start of the sandbox the processes killed for memory and the starts of processes that were refused. */
export async function countLimitHits(groups: readonly Group[]): Promise<{ memory: number; processes: number }> {
  const count = async (controller: Controller, files: readonly string[], name: string): Promise<number> => {
    const group = groups.find(({ controllers }) => controllers.includes(controller));
    if (group === undefined) return 0;
    const texts = await Promise.all(files.map((file) => readFile(join(group.path, file), 'utf8').catch(() => '')));
    return Math.max(0, ...texts.map((text) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)));
  };
  return {
    memory: await count('memory', ['memory.events', 'memory.oom_control'], 'oom_kill'),
    processes: await count('pids', ['pids.events'], 'max'),
  };
}

/** Removes groups whose processes have ended. A group without our name prefix is left alone. */
export async function removeGroups(groups: readonly Pick<Group, 'path'>[]): Promise<void> {
  for (const { path } of groups) if (basename(path).startsWith(GROUP_NAME_PREFIX)) await removeGroup(path);
}

async function removeGroup(path: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await rmdir(path);
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return;
      // A killed process stays in the group until its parent has reaped it.
      if (!hasErrorCode(error, 'EBUSY') || tries === MAX_REMOVE_ATTEMPTS) throw error;
      await delay(20);
    }
  }
}

async function parentIn({ version, mountPoint, own, controllers }: Hierarchy): Promise<GroupParent | undefined> {
  if (version === 1) {
    const ours = CONTROLLERS.filter((name) => controllers.includes(name));
    return ours.length === 0 ? undefined : { version, folder: own, controllers: ours, seenAt: mountPoint };
  }
  let best: GroupParent | undefined;
  for (const folder of new Set([own, own === mountPoint ? own : dirname(own), mountPoint])) {
    const enabled = await enableControllers(folder);
    if (enabled.length > (best?.controllers.length ?? 0)) best = { version, folder, controllers: enabled, seenAt: mountPoint };
  }
  return best;
}

/**
 * Enables the controllers for the groups below a folder and returns the enabled ones. The kernel refuses this for a group that
 * holds processes, except the root group.
 */
async function enableControllers(folder: string): Promise<Controller[]> {
  const file = join(folder, 'cgroup.subtree_control');
  for (const name of CONTROLLERS) await writeFile(file, `+${name}`).catch(() => {});
  const enabled = (await readFile(file, 'utf8').catch(() => '')).trim().split(' ');
  return CONTROLLERS.filter((name) => enabled.includes(name));
}

/** Returns whether a process can be started in a group of this parent. It starts one, since file modes do not show who may join. */
async function canJoin(parent: GroupParent, identity: UserIdentity): Promise<boolean> {
  const group: Group = { ...parent, path: join(parent.folder, `${GROUP_NAME_PREFIX}probe-${randomUUID()}`) };
  try {
    await createGroups([group], { cpus: null, memoryMiB: 256, processes: 64, diskMiB: 64 });
    const { failed } = await execa('/usr/bin/env', [...joinCommand([group], identity), '/bin/true'], {
      cwd: '/',
      env: {},
      extendEnv: false,
      stdio: 'ignore',
      reject: false,
      timeout: 10_000,
    });
    return !failed;
  } catch {
    return false;
  } finally {
    await removeGroups([group]).catch(() => {});
  }
}

function limitFiles({ version, controllers }: GroupParent, { cpus, memoryMiB, processes }: SandboxLimits): [string, string][] {
  const bytes = String(memoryMiB * MIB);
  const quotaUs = cpus === null ? null : Math.round(cpus * CPU_PERIOD_US);
  const forController = (controller: Controller, files: [string, string][]): [string, string][] =>
    controllers.includes(controller) ? files : [];
  if (version === 2) {
    return [
      ...forController('memory', [
        ['memory.max', bytes],
        ['memory.swap.max', '0'],
      ]),
      ...forController('pids', [['pids.max', String(processes)]]),
      ...forController('cpu', quotaUs === null ? [] : [['cpu.max', `${quotaUs} ${CPU_PERIOD_US}`]]),
    ];
  }
  return [
    ...forController('memory', [
      ['memory.limit_in_bytes', bytes],
      ['memory.memsw.limit_in_bytes', bytes],
    ]),
    ...forController('pids', [['pids.max', String(processes)]]),
    ...forController(
      'cpu',
      quotaUs === null
        ? []
        : [
            ['cpu.cfs_period_us', String(CPU_PERIOD_US)],
            ['cpu.cfs_quota_us', String(quotaUs)],
          ],
    ),
  ];
}

async function isExecutable(file: string): Promise<boolean> {
  return await access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
