import type { Gateways } from '../gateways/index.ts';
import { endKey } from '../keys/end-key.ts';
import type { Database } from '../store/database.ts';
import { appendEvents } from '../store/events.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

export interface KeyDeps {
  database: Database;
  gateways: Gateways;
}

export function keyActivities({ database: { db }, gateways }: KeyDeps): Pick<Activities, 'mintKey' | 'revokeKey'> {
  return {
    mintKey: async ({ gateway, model, agent, expiresAt, ...key }) => {
      const { ref, jobId, tenant } = key;
      try {
        await gateways[gateway].mint({ ...key, models: [model], expiresAt: new Date(expiresAt) });
        await appendEvents(db, jobId, [
          { source: 'job.started', body: { type: 'job.started', tenant, agent, model } },
          { source: `key.minted:${ref}`, body: { type: 'key.minted', ref, expiresAt } },
        ]);
      } catch (error) {
        throw toFailure(error, ['gateway_unreachable', 'database_unreachable']);
      }
    },

    revokeKey: async ({ gateway, ...key }) => {
      try {
        await endKey(db, gateways[gateway], key);
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
