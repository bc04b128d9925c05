import { expect, test } from 'vitest';

import { decidePrune, type KeyringUse } from '../../src/keys/decide-prune.ts';

const RING = { rootKeys: ['root-3', 'root-2', 'root-1'], sealingKeys: ['seal-2', 'seal-1'] };
const UNUSED: KeyringUse = { activeKeys: new Map(), runningJobs: new Map(), gatewayKeys: new Map(), upstreamCredentials: new Map() };

test('all but the current keys go where nothing hangs on them', () => {
  expect(decidePrune(RING, UNUSED)).toEqual({ action: 'drop', ids: ['root-2', 'root-1', 'seal-1'] });
});

test('what hangs on the current keys, or on keys of other rings, keeps none of the old ones', () => {
  const use = { ...UNUSED, activeKeys: new Map([['root-3', 4]]), runningJobs: new Map([['elsewhere', 1]]) };
  expect(decidePrune(RING, use).action).toBe('drop');
});

test.each<[string, Partial<KeyringUse>, string]>([
  ['a active key', { activeKeys: new Map([['root-1', 2]]) }, 'the root key root-1 is needed (active keys: 2)'],
  ['a running job', { runningJobs: new Map([['seal-1', 1]]) }, 'the sealing key seal-1 is needed (running jobs: 1)'],
  [
    'a job and a stored credential',
    { runningJobs: new Map([['seal-1', 3]]), upstreamCredentials: new Map([['seal-1', 1]]) },
    'the sealing key seal-1 is needed (running jobs: 3, stored credentials: 1)',
  ],
])('none goes while %s needs one, and the count is named', (_who, use, reason) => {
  expect(decidePrune(RING, { ...UNUSED, ...use })).toEqual({ action: 'refuse', reason });
});
