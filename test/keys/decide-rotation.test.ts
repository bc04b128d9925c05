import { expect, test } from 'vitest';

import type { Overlap } from '../../src/contract/key.ts';
import { decideRotation, type RotationDecision } from '../../src/keys/decide-rotation.ts';

const GRACE = 10_000;
const OVERDUE = 300_000;
/** The agent goes on with the older key. */
const busy: Overlap = { isNewUsed: false, oldRequests: 0, sinceBoundMs: OVERDUE - 1, sinceOldUsedMs: GRACE - 1 };

const cases: [string, Partial<Overlap>, RotationDecision][] = [
  ['an agent that has just used the older key', {}, { action: 'wait' }],
  ['an agent that has used the newer one', { isNewUsed: true }, { action: 'end_old', reason: 'new_used' }],
  ['a request with the older key, though the newer one is in use', { isNewUsed: true, oldRequests: 1 }, { action: 'wait' }],
  ['an older key that was not used for a while', { sinceOldUsedMs: GRACE }, { action: 'end_old', reason: 'old_unused' }],
  ['an older key that was never used', { sinceOldUsedMs: null }, { action: 'end_old', reason: 'old_unused' }],
  ['a newer key that is there for a moment only', { sinceOldUsedMs: null, sinceBoundMs: GRACE - 1 }, { action: 'wait' }],
  ['an agent that never looks at the file', { sinceBoundMs: OVERDUE }, { action: 'end_old', reason: 'overdue' }],
  ['such an agent in a request', { sinceBoundMs: OVERDUE, oldRequests: 1 }, { action: 'wait' }],
];

test.each(cases)('%s', (_what, change, decision) => {
  expect(decideRotation({ ...busy, ...change }, GRACE)).toEqual(decision);
});
