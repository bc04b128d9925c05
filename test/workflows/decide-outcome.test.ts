import { ActivityFailure, ApplicationFailure, CancelledFailure, TimeoutFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';

import { decideOutcome } from '../../src/workflows/decide-outcome.ts';

const inTime = { deadlinePassed: false };

function activityFailure(cause: Error): ActivityFailure {
  return new ActivityFailure('activity failed', 'runSession', '1', 'MAXIMUM_ATTEMPTS_REACHED', 'worker', cause);
}

describe('how a job ended', () => {
  test('is the code of the step that failed', () => {
    const error = activityFailure(ApplicationFailure.create({ type: 'budget_exhausted', message: 'spent' }));
    expect(decideOutcome(error, inTime)).toEqual({ outcome: 'failed', failure: { code: 'budget_exhausted', message: 'spent' } });
  });

  test('is the code of the last attempt where a step ran out of time', () => {
    const lastAttempt = ApplicationFailure.create({ type: 'gateway_unreachable', message: 'no answer' });
    const timeout = Object.assign(new TimeoutFailure('too long', undefined, 'SCHEDULE_TO_CLOSE'), { cause: lastAttempt });
    expect(decideOutcome(activityFailure(timeout), inTime).failure?.code).toBe('gateway_unreachable');
  });

  test('is internal where nothing tells more', () => {
    expect(decideOutcome(activityFailure(new TimeoutFailure('too long', undefined, 'HEARTBEAT')), inTime).failure?.code).toBe('internal');
    expect(decideOutcome(new Error('secret words'), inTime).failure?.message).not.toContain('secret words');
    expect(decideOutcome(activityFailure(ApplicationFailure.create({ type: 'Error', message: 'secret words' })), inTime).failure?.message).not.toContain('secret words');
  });

  test('is a cancel unless the deadline had passed', () => {
    const cancelled = activityFailure(new CancelledFailure('cancelled'));
    expect(decideOutcome(cancelled, inTime).outcome).toBe('cancelled');
    expect(decideOutcome(cancelled, { deadlinePassed: true }).outcome).toBe('deadline_exceeded');
  });

  test('is the failure, not the deadline, where a step failed after it', () => {
    const failed = activityFailure(ApplicationFailure.create({ type: 'sandbox_lost', message: 'gone' }));
    expect(decideOutcome(failed, { deadlinePassed: true }).outcome).toBe('failed');
  });
});
