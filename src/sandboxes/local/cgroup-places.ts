/** A mounted hierarchy of control groups, and the place of this process in it. */
export interface Hierarchy {
  version: 1 | 2;
  mountPoint: string;
  /** The group of this process, a folder at or below the mount point. */
  own: string;
  /** The controllers of the hierarchy; version 1 only. */
  controllers: string[];
}

/** Parses `/proc/self/mountinfo` and `/proc/self/cgroup` (proc(5), cgroups(7)). */
export function parseHierarchies(mountInfo: string, cgroups: string): Hierarchy[] {
  const paths = cgroups.split('\n').flatMap((line) => {
    const [, names, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return names === undefined || path === undefined ? [] : [{ names: names.split(','), path }];
  });
  return mountInfo.split('\n').flatMap((line): Hierarchy[] => {
    const [mount = '', fileSystem = ''] = line.split(' - ');
    const [, , , root = '', mountPoint = ''] = mount.split(' ');
    const [type, , options = ''] = fileSystem.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    const version = type === 'cgroup' ? 1 : 2;
    const mounted = options.split(',');
    const group = paths.find(({ names }) => (version === 2 ? names.join('') === '' : names.every((name) => mounted.includes(name))));
    if (group === undefined) return [];
    return [{ version, mountPoint, own: mountPoint + below(group.path, root), controllers: version === 1 ? group.names : [] }];
  });
}

/** Resolves a group’s path against the root of the mount, which is not `/` where a container sees a part of the hierarchy. */
function below(path: string, root: string): string {
  if (root === '/') return path === '/' ? '' : path;
  return path.startsWith(`${root}/`) ? path.slice(root.length) : '';
}
