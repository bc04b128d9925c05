import { activityInfo } from '@temporalio/activity';

import { settleJob } from '../billing/settle-job.ts';
import type { Database } from '../store/database.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

export interface UsageDeps {
  database: Database;
}

export function usageActivities({ database: { db } }: UsageDeps): Pick<Activities, 'settleUsage'> {
  return {
    settleUsage: async ({ leaseId, ...job }) => {
      const { runId = '' } = activityInfo().workflowExecution ?? {};
      try {
        return await settleJob(db, job, { leaseId, runId });
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
