import type { Database } from '../store/database.ts';
import { settleJob } from '../usage/settle-job.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

export interface UsageDeps {
  database: Database;
}

export function usageActivities({ database: { db } }: UsageDeps): Pick<Activities, 'settleUsage'> {
  return {
    settleUsage: async (job) => {
      try {
        return await settleJob(db, job);
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
