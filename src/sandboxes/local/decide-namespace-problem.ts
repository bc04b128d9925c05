/** The kernel settings of the host that can forbid user namespaces; null where the kernel has no such setting. */
export interface NamespaceSettings {
  apparmorRestricts: string | null;
  unprivilegedClone: string | null;
  maxNamespaces: string | null;
}

/** The files of these settings. */
export const NAMESPACE_SETTINGS: Record<keyof NamespaceSettings, string> = {
  apparmorRestricts: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
  unprivilegedClone: '/proc/sys/kernel/unprivileged_userns_clone',
  maxNamespaces: '/proc/sys/user/max_user_namespaces',
};

/** Decides why an installed bubblewrap does not work, as the end of a sentence, with the setting of the host that fixes it. */
export function decideNamespaceProblem({ apparmorRestricts, unprivilegedClone, maxNamespaces }: NamespaceSettings): string {
  if (maxNamespaces === '0') return 'the host forbids user namespaces: sysctl user.max_user_namespaces is 0';
  if (unprivilegedClone === '0') return 'the host forbids user namespaces: set sysctl kernel.unprivileged_userns_clone=1';
  if (apparmorRestricts === '1')
    return 'AppArmor restricts user namespaces, as on Ubuntu 24.04: set sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this program a profile with "userns,"';
  return 'bubblewrap is older than 0.8, or a container or seccomp profile around the worker forbids user namespaces';
}
