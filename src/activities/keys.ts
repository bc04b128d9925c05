import { activityInfo, Context, log } from '@temporalio/activity';
import pMap from 'p-map';

import { codeOf } from '../contract/errors.ts';
import { MAX_FAILED, type EndedKeys } from '../contract/revocation.ts';
import type { KeyContext } from '../keys/context.ts';
import { endKey, endRemainingKeys } from '../keys/end-key.ts';
import { mintKey } from '../keys/mint-key.ts';
import { MAX_CONCURRENT_ITEMS } from '../keys/sweep/sweep-runner.ts';
import type { SourcedEvent } from '../store/events.ts';
import type { LedgerEnd } from '../store/key-ends.ts';
import { endingKeys } from '../store/key-ends.ts';
import type { Activities } from './contracts.ts';
import { toFailure } from './failures.ts';
import { withLivenessHeartbeat } from './heartbeat.ts';

export interface KeyDeps {
  keys: KeyContext;
}

export function keyActivities({ keys }: KeyDeps): Pick<Activities, 'mintKey' | 'revokeKey' | 'endKeys'> {
  return {
    mintKey: async ({ model, agent, hardExpiresAt, ...key }) => {
      const { ref, tenant } = key;
      const { attempt } = activityInfo();
      if (attempt === 1 && key.generation === 1) log.info('Job started.', { tenant, agent, model });
      try {
        const wanted = { ...key, models: [model], hardExpiresAt: new Date(hardExpiresAt) };
        const events: SourcedEvent[] = [
          { source: 'job.started', body: { type: 'job.started', tenant, agent, model } },
          { source: `key.minted:${ref}`, body: { type: 'key.minted', ref, expiresAt: hardExpiresAt } },
        ];
        await withLivenessHeartbeat(() => mintKey(keys, wanted, events));
      } catch (error) {
        throw toFailure(error, ['gateway_unreachable', 'database_unreachable', 'root_key_missing']);
      }
    },

    revokeKey: async ({ cause, ...key }) => {
      try {
        await withLivenessHeartbeat(async () => (cause === 'job' ? endRemainingKeys(keys, key) : void (await endKey(keys, key, cause))));
      } catch (error) {
        throw toFailure(error, 'all');
      }
    },

    endKeys: async (target) => {
      const { cancellationSignal } = Context.current();
      const report: EndedKeys = { ended: 0, failed: [] };
      try {
        const open = await endingKeys(keys.db, keys.owner, target);
        const end = async (key: LedgerEnd): Promise<void> => {
          // A worker that shuts down leaves the rest to the next.
          cancellationSignal.throwIfAborted();
          try {
            await endKey(keys, key, 'revoked');
            report.ended += 1;
          } catch (error) {
            if (report.failed.length < MAX_FAILED) report.failed.push({ ref: key.ref, code: codeOf(error) });
          }
        };
        await withLivenessHeartbeat(() => pMap(open, end, { concurrency: MAX_CONCURRENT_ITEMS }));
        return report;
      } catch (error) {
        if (cancellationSignal.aborted) throw cancellationSignal.reason;
        throw toFailure(error, 'all');
      }
    },
  };
}
