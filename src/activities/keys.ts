import type { KeyContext } from '../keys/context.ts';
import { endKey, endKeysOfJob } from '../keys/end-key.ts';
import { mintKey } from '../keys/mint-key.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';

export interface KeyDeps {
  keys: KeyContext;
}

export function keyActivities({ keys }: KeyDeps): Pick<Activities, 'mintKey' | 'revokeKey'> {
  return {
    mintKey: async ({ model, agent, diesAt, ...key }) => {
      const { ref, tenant } = key;
      try {
        await mintKey(keys, { ...key, models: [model], diesAt: new Date(diesAt) }, [
          { source: 'job.started', body: { type: 'job.started', tenant, agent, model } },
          { source: `key.minted:${ref}`, body: { type: 'key.minted', ref, expiresAt: diesAt } },
        ]);
      } catch (error) {
        throw toFailure(error, ['gateway_unreachable', 'database_unreachable', 'root_key_missing']);
      }
    },

    revokeKey: async ({ cause, ...key }) => {
      try {
        const others = await endKey(keys, key, cause);
        if (cause === 'job' && others > 0) await endKeysOfJob(keys, key.jobId, 'job');
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },
  };
}
