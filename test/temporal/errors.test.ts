import { WorkflowUpdateRPCTimeoutOrCancelledError } from '@temporalio/client';
import { expect, test } from 'vitest';

import { asUpdateError } from '../../src/temporal/errors.ts';

/** gRPC status codes. */
test.each([
  ['the client', 4],
  ['the server', 1],
])('an update that %s ends at its deadline tells that no worker took it, or that the job has ended', async (_side, code) => {
  const late = (): Promise<never> =>
    Promise.reject(new WorkflowUpdateRPCTimeoutOrCancelledError('late', { cause: Object.assign(new Error('late'), { code }) }));
  await expect(asUpdateError(late(), 'job', () => Promise.resolve('running'))).rejects.toMatchObject({ code: 'no_worker' });
  await expect(asUpdateError(late(), 'job', () => Promise.resolve('completed'))).rejects.toMatchObject({ code: 'job_closed' });
});
