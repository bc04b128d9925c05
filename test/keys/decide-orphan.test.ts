import { expect, test } from 'vitest';

import { decideOrphan, type OrphanDecision, type Suspect } from '../../src/keys/sweep/decide-orphan.ts';

const NOW = 1_000_000;
const GRACE = 60_000;
/** One that has no job, is old enough, and was found so long enough ago. */
const lost: Suspect = { job: 'closed', madeAtMs: NOW - GRACE, sightedAtMs: NOW - GRACE / 2, endingAtMs: null };

const cases: [string, Partial<Suspect>, OrphanDecision][] = [
  ['a closed job', {}, { do: 'end', because: 'job_closed' }],
  ['a job that nobody knows', { job: 'unknown' }, { do: 'end', because: 'job_unknown' }],
  ['a job that runs', { job: 'running' }, { do: 'keep', because: 'job_runs' }],
  ['what was made a moment less ago', { madeAtMs: NOW - GRACE + 1 }, { do: 'wait', because: 'just_made' }],
  ['an end that began a moment less ago', { endingAtMs: NOW - GRACE + 1 }, { do: 'keep', because: 'end_under_way' }],
  ['an end that was begun and left, though its job runs', { endingAtMs: NOW - GRACE, job: 'running' }, { do: 'end', because: 'end_begun' }],
  ['what was never found before', { sightedAtMs: null }, { do: 'wait', because: 'first_sighting' }],
  ['what was found a moment less ago', { sightedAtMs: NOW - GRACE / 2 + 1 }, { do: 'wait', because: 'first_sighting' }],
];

test.each(cases)('%s', (_what, change, decision) => {
  expect(decideOrphan({ ...lost, ...change }, NOW, GRACE)).toEqual(decision);
});
