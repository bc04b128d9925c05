import type { Gateways } from '../gateways/index.ts';
import type { Database } from '../store/database.ts';
import { settleJob } from '../usage/settle-job.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

export interface UsageDeps {
  database: Database;
  gateways: Gateways;
}

export function usageActivities({ database: { db }, gateways }: UsageDeps): Pick<Activities, 'settleUsage'> {
  return {
    settleUsage: async ({ gateway, ...job }) => {
      try {
        return await settleJob(db, gateways[gateway], job);
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
