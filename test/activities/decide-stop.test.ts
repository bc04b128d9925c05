import { expect, test } from 'vitest';

import { decideStop } from '../../src/activities/decide-stop.ts';

const STEP = { runId: 'run', activityId: '7' };
const running = { state: 'running', runId: 'run', cancelledActivities: [] } as const;

test.each([
  ['a job that Temporal does not know', null, 'gone', 'gone'],
  ['a job that is closed', { ...running, state: 'closed' as const }, 'gone', 'gone'],
  ['a job that was reset', { ...running, runId: 'next' }, 'detach', 'detach'],
  ['a job that was reset and cancelled', { ...running, runId: 'next', cancelledActivities: ['7'] }, 'detach', 'detach'],
  ['a step that its workflow cancelled', { ...running, cancelledActivities: ['7'] }, 'cancel', 'cancel'],
  ['a job that cancelled another step', { ...running, cancelledActivities: ['6'] }, 'detach', 'go_on'],
  ['a job that goes on', running, 'detach', 'go_on'],
])('%s: with a record %j it is to %s where Temporal told it to stop, after a notice to %s', (_name, record, signalled, noticed) => {
  expect(decideStop(record, STEP, true)).toBe(signalled);
  expect(decideStop(record, STEP, false)).toBe(noticed);
});
