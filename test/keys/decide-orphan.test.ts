import { expect, test } from 'vitest';

import { decideOrphan, type OrphanDecision, type Suspect } from '../../src/keys/sweep/decide-orphan.ts';

const NOW = 1_000_000;
const GRACE = 60_000;
/** One that has no job, is old enough, and was found so long enough ago. */
const lost: Suspect = { job: 'closed', createdAtMs: NOW - GRACE, sightedAtMs: NOW - GRACE / 2, endingAtMs: null };

const cases: [string, Partial<Suspect>, OrphanDecision][] = [
  ['a closed job', {}, { action: 'end', reason: 'job_closed' }],
  ['a job that nobody knows', { job: 'unknown' }, { action: 'end', reason: 'job_unknown' }],
  ['a job that runs', { job: 'running' }, { action: 'keep', reason: 'job_runs' }],
  ['what was made a moment less ago', { createdAtMs: NOW - GRACE + 1 }, { action: 'wait', reason: 'just_made' }],
  ['an end that began a moment less ago', { endingAtMs: NOW - GRACE + 1 }, { action: 'keep', reason: 'end_under_way' }],
  [
    'an end that was begun and left, though its job runs',
    { endingAtMs: NOW - GRACE, job: 'running' },
    { action: 'end', reason: 'end_begun' },
  ],
  ['what was never found before', { sightedAtMs: null }, { action: 'wait', reason: 'first_sighting' }],
  ['what was found a moment less ago', { sightedAtMs: NOW - GRACE / 2 + 1 }, { action: 'wait', reason: 'first_sighting' }],
];

test.each(cases)('%s', (_what, change, decision) => {
  expect(decideOrphan({ ...lost, ...change }, NOW, GRACE)).toEqual(decision);
});
