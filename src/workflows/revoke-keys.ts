import { proxyActivities, sleep } from '@temporalio/workflow';

import type { Activities } from '../activities/contracts.ts';
import { revokeTargetProblem } from '../contract/check-requests.ts';
import type { EndedKeys, RevokeTarget } from '../contract/revocation.ts';
import { rejectMalformed } from './reject.ts';

/** Pauses before what failed is tried again, in ms; what is left then the sweep goes on with. */
const PAUSES_MS = [1000, 2000, 4000];

/** Ends the keys of a target whose end has begun. */
export async function revokeKeys(target: RevokeTarget): Promise<EndedKeys> {
  rejectMalformed('revokeKeys', revokeTargetProblem(target));
  const { endKeys } = proxyActivities<Activities>({
    startToCloseTimeout: '10m',
    heartbeatTimeout: '5s',
    retry: { initialInterval: '1s', maximumInterval: '30s' },
    summary: 'revoked keys',
  });
  const report = await endKeys(target);
  for (const pauseMs of PAUSES_MS) {
    if (report.failed.length === 0) break;
    await sleep(pauseMs, { summary: 'until the next try' });
    const { ended, failed } = await endKeys(target);
    report.ended += ended;
    report.failed = failed;
  }
  return report;
}
