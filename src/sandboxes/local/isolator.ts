import type { SandboxLimits } from '../../contract/limits-spec.ts';
import type { SandboxFolder } from '../host/folder.ts';
import type { UserIdentity } from '../launch/tools.ts';
import type { Group, GroupParent } from './cgroup.ts';
import type { Mount } from './mounts.ts';

/** The first program of a sandbox, as it is inside. */
export interface FirstProgram {
  folder: SandboxFolder;
  mounts: readonly Mount[];
  limits: SandboxLimits;
  /** The control groups that the process joins. */
  groups: readonly Group[];
  env: Record<string, string>;
  command: readonly string[];
}

/** A process of the host. Its arguments and its environment hold no secret: the sandbox or other users may see them. */
export interface HostProcess {
  command: readonly string[];
  user: UserIdentity;
  cwd: string;
  env: Record<string, string>;
}

/** What separates the sandboxes of this host from it. Its program was found and works. */
export interface Isolator {
  /** A sandbox sees the host’s own paths. */
  readonly sharesHost: boolean;
  /** Selects the control groups, and of each the controllers, that limit a sandbox. */
  selectGroups(parents: readonly GroupParent[]): GroupParent[];
  /**
   * Turns the first program of a sandbox into the process of the host that runs it. Files that it needs are written into the
   * sandbox’s folder, which has been claimed. Throws the file system’s errors.
   */
  wrap(program: FirstProgram): Promise<HostProcess>;
}
