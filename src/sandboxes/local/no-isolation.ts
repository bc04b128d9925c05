import type { UserIdentity } from '../launch/tools.ts';
import type { Isolator } from './isolator.ts';

/** Runs a sandbox’s programs on the host itself, as the sandboxes’ user. */
export function createNoIsolation(user: UserIdentity): Isolator {
  return {
    sharesHost: true,
    selectGroups: (parents) => [...parents],
    wrap: ({ folder, env, command }) => Promise.resolve({ command, user, cwd: folder.workspace, env }),
  };
}
