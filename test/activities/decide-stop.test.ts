import { expect, test } from 'vitest';

import { decideStop } from '../../src/activities/decide-stop.ts';

const STEP = { runId: 'run', activityId: '7' };
const running = { state: 'running', runId: 'run', cancelledActivities: [] } as const;

test.each([
  ['a job that Temporal does not know', null, 'job_closed', 'job_closed'],
  ['a job that is closed', { ...running, state: 'closed' as const }, 'job_closed', 'job_closed'],
  ['a job that was reset', { ...running, runId: 'next' }, 'detach', 'detach'],
  ['a job that was reset and cancelled', { ...running, runId: 'next', cancelledActivities: ['7'] }, 'detach', 'detach'],
  ['a step that its workflow cancelled', { ...running, cancelledActivities: ['7'] }, 'cancel', 'cancel'],
  ['a job that cancelled another step', { ...running, cancelledActivities: ['6'] }, 'detach', 'continue'],
  ['a job that runs', running, 'detach', 'continue'],
])('%s: with the record %j the decision is %s after Temporal’s signal, and %s after a notice', (_name, record, signalled, noticed) => {
  expect(decideStop(record, STEP, true)).toBe(signalled);
  expect(decideStop(record, STEP, false)).toBe(noticed);
});
