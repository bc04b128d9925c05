import { expect, test } from 'vitest';

import { decideNamespaceProblem } from '../../src/sandboxes/local/decide-namespace-problem.ts';

const free = { apparmorRestricts: null, unprivilegedClone: null, maxNamespaces: '63000' };

test.each([
  ['no setting forbids them', free, /older than 0\.8/],
  ['AppArmor restricts them, as on Ubuntu 24.04', { ...free, apparmorRestricts: '1' }, /kernel\.apparmor_restrict_unprivileged_userns=0/],
  ['AppArmor lets them pass', { ...free, apparmorRestricts: '0' }, /older than 0\.8/],
  ['Debian’s setting forbids them', { ...free, unprivilegedClone: '0' }, /kernel\.unprivileged_userns_clone=1/],
  ['their number is limited to none', { ...free, apparmorRestricts: '1', maxNamespaces: '0' }, /user\.max_user_namespaces/],
])('where %s the problem of user namespaces names what to change', (_case, settings, message) => {
  expect(decideNamespaceProblem(settings)).toMatch(message);
});
