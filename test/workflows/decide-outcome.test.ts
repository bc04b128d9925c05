import { ActivityFailure, ApplicationFailure, CancelledFailure, TimeoutFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';

import { decideOutcome } from '../../src/workflows/sandbox-job/decide-outcome.ts';

function activityFailure(cause: Error): ActivityFailure {
  return new ActivityFailure('activity failed', 'runSession', '1', 'MAXIMUM_ATTEMPTS_REACHED', 'worker', cause);
}

describe('how a job ended', () => {
  test('is the code of the step that failed', () => {
    const error = activityFailure(ApplicationFailure.create({ type: 'budget_exhausted', message: 'spent' }));
    expect(decideOutcome(error, null)).toEqual({ outcome: 'failed', failure: { code: 'budget_exhausted', message: 'spent' } });
  });

  test('is the code of the last attempt where a step ran out of time', () => {
    const lastAttempt = ApplicationFailure.create({ type: 'gateway_unreachable', message: 'no answer' });
    const timeout = Object.assign(new TimeoutFailure('too long', undefined, 'SCHEDULE_TO_CLOSE'), { cause: lastAttempt });
    expect(decideOutcome(activityFailure(timeout), null).failure?.code).toBe('gateway_unreachable');
  });

  test('is internal where nothing tells more', () => {
    expect(decideOutcome(activityFailure(new TimeoutFailure('too long', undefined, 'HEARTBEAT')), null).failure?.code).toBe('internal');
    expect(decideOutcome(new Error('secret words'), null).failure?.message).not.toContain('secret words');
    expect(
      decideOutcome(activityFailure(ApplicationFailure.create({ type: 'Error', message: 'secret words' })), null).failure?.message,
    ).not.toContain('secret words');
  });

  test.each(['cancelled', 'deadline_exceeded'] as const)('is %s where the job was told so before its work was done', (told) => {
    expect(decideOutcome(activityFailure(new CancelledFailure('cancelled')), told).outcome).toBe(told);
    expect(decideOutcome(activityFailure(new TimeoutFailure('no heartbeat', undefined, 'HEARTBEAT')), told).outcome).toBe(told);
  });

  test('is the failure where a step failed by itself after the job was told to end', () => {
    const failed = activityFailure(ApplicationFailure.create({ type: 'sandbox_lost', message: 'gone' }));
    expect(decideOutcome(failed, 'cancelled')).toEqual({ outcome: 'failed', failure: { code: 'sandbox_lost', message: 'gone' } });
  });
});
