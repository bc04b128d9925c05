import { activityInfo, log } from '@temporalio/activity';

import { settleJob } from '../billing/settle-job.ts';
import type { Database } from '../store/database.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

export interface UsageDeps {
  database: Database;
}

export function usageActivities({ database: { db } }: UsageDeps): Pick<Activities, 'settleUsage'> {
  return {
    settleUsage: async ({ leaseId, push = null, ...job }) => {
      const { runId = '' } = activityInfo().workflowExecution ?? {};
      try {
        const settled = await settleJob(db, { ...job, push }, { leaseId, runId });
        const { outcome, usage, turns } = settled;
        const code = job.failure === null ? {} : { code: job.failure.code };
        log.info('Job ended.', { tenant: job.tenant, outcome, ...code, turns, usd: usage.usd });
        return settled;
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
